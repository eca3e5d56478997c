//! The open loop: requests at a fixed rate, each with a due time from which its latency counts. A late connection sends
//! its overdue requests at once.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::measurement::ClientReport;
use crate::support::http::Connection;

/// Time to open all connections.
const START: Duration = Duration::from_millis(200);

/// Sends all requests of the file, and prints the report.
pub(crate) fn send(file: &Path, port: u16, connections: u32, a_second: u32) -> anyhow::Result<()> {
    let mut shares = vec![Vec::new(); connections as usize];
    let every = Duration::from_secs(1) / a_second;
    let lines = BufReader::new(File::open(file)?).lines();
    for ((line, number), at) in lines.zip(0..).zip((0..shares.len()).cycle()) {
        let share: &mut Vec<_> = shares.get_mut(at).context("no connections")?;
        share.push((every * number, request(&line?)?));
    }
    let began = Instant::now() + START;
    let threads: Vec<_> =
        shares.into_iter().map(|share| thread::spawn(move || one(port, &share, began))).collect();
    let (mut took, mut refused) = (Vec::new(), 0);
    for thread in threads {
        let (of_one, refused_by_one) = thread.join().ok().context("a connection panicked")??;
        took.extend(of_one);
        refused += refused_by_one;
    }
    let us = u64::try_from(began.elapsed().as_micros())?;
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0, Duration::as_micros);
    let (p50, p99) = (u64::try_from(at(50))?, u64::try_from(at(99))?);
    let requests = took.len() as u64;
    let report = ClientReport { requests, us, refused, broken: 0, p50, p99, ended: Instant::now() };
    println!("JSON {}", serde_json::to_string(&report)?);
    Ok(())
}

fn request(line: &str) -> anyhow::Result<String> {
    let mut parts = line.splitn(3, '\t');
    let mut part = || parts.next().context("a line must have a path, a signature and a body");
    let (path, signature, body) = (part()?, part()?, part()?);
    Ok(format!(
        "POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n\
         X-Twilio-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The latency of each request, and the number without a 2xx.
fn one(
    port: u16,
    share: &[(Duration, String)],
    began: Instant,
) -> anyhow::Result<(Vec<Duration>, u64)> {
    let mut connection = Connection::over(TcpStream::connect(("127.0.0.1", port))?)?;
    let (mut took, mut refused) = (Vec::with_capacity(share.len()), 0);
    for (at, request) in share {
        let due = began + *at;
        thread::park_timeout(due.saturating_duration_since(Instant::now()));
        let response = connection.exchange(request.as_bytes())?;
        refused += u64::from(!(200..300).contains(&response.status));
        took.push(due.elapsed());
    }
    Ok((took, refused))
}

//! Thousands of connections at once: idle connections, heads that grow, large bodies that never
//! end. Unauthenticated connections are closed for newer ones, so honest callers are answered and
//! memory stays within bounds.

use std::net::TcpStream;

use heardback::twilio::signature::SigningKey;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::abuse::honest_is_answered_within_a_second;
use crate::harness::http_client::{self, Line};
use crate::harness::{BASE, Harness, LONG, eventually, post, signed, status_callback};
use crate::slow_clients::{kept, kilobytes, open_files};

const WANTED: usize = 10_000;
/// File descriptors that this process and parallel tests need.
const OURS: usize = 600;
/// `MAX_UNAUTHENTICATED` in `inbound/limits/connections.rs`.
const MAX_UNAUTHENTICATED: u64 = 1024;

/// As many connections as this process may have, at most [`WANTED`].
pub(crate) fn affordable() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limits = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limits).expect("up to the maximum anybody may");
    let maximum = maximum.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let count = WANTED.min(maximum.saturating_sub(OURS));
    if count < WANTED {
        println!("ONLY {count} CONNECTIONS: no more file handles may be had here (ulimit -Hn)");
    }
    count
}

fn authenticate(line: &mut Line) {
    line.send(&http_client::bytes(&signed(&status_callback(8, "sent"))));
    let answer = line.answer().expect("an authenticated connection stays open");
    assert_eq!(answer.status, 204);
}

#[test]
fn ten_thousand_idle_connections_do_not_delay_honest_callers() {
    let count = affordable();
    let harness = Harness::new(&[]);
    let mut insider = kept(&harness);
    let mut idle = Vec::with_capacity(count);
    let mut waits = Vec::new();
    for number in 0..count {
        let stream = TcpStream::connect(harness.service.public);
        idle.push(stream.unwrap_or_else(|error| unreachable!("{number}: {error}")));
        if number % 250 == 0 || number + 30 > count {
            waits.push(honest_is_answered_within_a_second(&harness, "ten thousand are idle"));
            authenticate(&mut insider);
        }
    }
    let shut = "heardback_connections_shut_total{reason=\"crowded_out\"}";
    let expected = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(MAX_UNAUTHENTICATED);
    let shut = || harness.service.metric(shut);
    eventually("all but the last thousand are closed", LONG, || shut() >= expected);
    let handles = || u64::try_from(open_files(&harness.service)).unwrap_or(u64::MAX);
    eventually("their descriptors are free", LONG, || handles() < 2 * MAX_UNAUTHENTICATED + 200);
    println!("{} honest calls meanwhile, the slowest {:?}", waits.len(), waits.iter().max());
    drop(idle);
    harness.service.says("too many unauthenticated connections");
    let peak = kilobytes(&harness.service, "VmHWM:");
    println!("{count} idle connections: {peak} kB at most");
    assert!(peak < 200_000, "{peak} kB");
}

#[test]
fn unfinished_heads_and_bodies_take_no_more_memory_than_a_small_machine_has() {
    let harness = Harness::new(&[]);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(120 << 10));
    let body = post("/twilio/events", "application/json", &vec![b' '; 1 << 20]);
    // The service would not read a body without a signature for long.
    let forged = body.signed(&SigningKey::new(b"a guess"), BASE);
    let mut body = http_client::bytes(&forged);
    body.pop();
    let mut lines = Vec::new();
    // 240 MiB of heads, and 400 MiB of bodies that lack a byte.
    for number in 0..2400 {
        let mut line = harness.service.line();
        // The service may have closed this connection already.
        line.send(if number < 2000 { head.as_bytes() } else { &body });
        lines.push(line);
        if number % 100 == 0 {
            honest_is_answered_within_a_second(&harness, "heads and bodies that never end");
        }
    }
    let peak = kilobytes(&harness.service, "VmHWM:");
    println!("heads and bodies without an end: {peak} kB at most");
    assert!(peak < 320_000, "{peak} kB");
    drop(lines);
    let whole = signed(&post("/twilio/events", "application/json", b"[]"));
    assert_eq!(harness.service.exchange(&http_client::bytes(&whole)).status, 204);
}

//! A proxy in front of a service that makes the first registration and the first event fail, until
//! the test ends the fault. After that every request reaches the service. It also stands in for
//! Twilio's message creation.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::json;

use crate::harness::http_client::Line;
use crate::harness::{ACCOUNT, BASE, Harness, sid};

/// The fault for the first registration and the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The registration gets a 503, the event no answer.
    Busy,
    /// The registration gets bytes that are no HTTP; the event's connection is closed.
    Rude,
    /// Both first requests get a 403.
    Forbidden,
    /// Every request gets a 400.
    ForGood,
    /// No fault.
    Nothing,
}

/// The results of the requests to a path.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    asked: usize,
    turned_away: usize,
    taken: usize,
}

struct Shared {
    trouble: Trouble,
    is_open: Mutex<bool>,
    opened: Condvar,
    seen: Mutex<BTreeMap<String, Seen>>,
    /// Connections without an answer; they end with the test.
    silent: Mutex<Vec<TcpStream>>,
}

pub(super) struct Relay {
    pub(super) url: String,
    pub(super) harness: Harness,
    shared: Arc<Shared>,
}

impl Relay {
    /// Starts both. The stand-in for Twilio creates the message of that number.
    pub(super) fn start(number: u32, trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        // The app keys of the examples, and the account token of the harness.
        let harness = Harness::new(&[("HEARDBACK_PUBLIC_URL", &format!("{url},{BASE}"))]);
        let shared = Arc::new(Shared {
            trouble,
            is_open: Mutex::default(),
            opened: Condvar::new(),
            seen: Mutex::default(),
            silent: Mutex::default(),
        });
        let (service, serving) = (harness.service.public, Arc::clone(&shared));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                let behind = move || Line::open(service);
                // A client that disconnects needs no answer.
                std::thread::spawn(move || pass_on(stream, behind, &shared, number));
            }
        });
        Self { url, harness, shared }
    }

    /// Ends the fault.
    pub(super) fn open(&self) {
        *self.shared.is_open.lock().expect("unpoisoned") = true;
        self.shared.opened.notify_all();
    }

    /// The paths with a request that was rejected or left unanswered.
    pub(super) fn turned_away(&self) -> Vec<String> {
        self.paths(|seen| seen.turned_away > 0)
    }

    /// The number of requests, for each path.
    pub(super) fn asked(&self) -> Vec<usize> {
        self.shared.seen.lock().expect("unpoisoned").values().map(|seen| seen.asked).collect()
    }

    /// The paths with an accepted request.
    pub(super) fn taken(&self) -> Vec<String> {
        self.paths(|seen| seen.taken > 0)
    }

    fn paths(&self, of: impl Fn(Seen) -> bool) -> Vec<String> {
        let seen = self.shared.seen.lock().expect("unpoisoned");
        seen.iter().filter(|(_, seen)| of(**seen)).map(|(path, _)| path.clone()).collect()
    }
}

/// Reads a whole request.
fn read(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&buffer[..count]);
    }
}

fn pass_on(
    mut stream: TcpStream,
    behind: impl Fn() -> Line,
    shared: &Shared,
    number: u32,
) -> std::io::Result<()> {
    let (head, body) = read(&mut stream)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path.ends_with("/Messages.json") {
        return create(&mut stream, &head, &body, number);
    }
    let is_open = shared.is_open.lock().expect("unpoisoned");
    drop(shared.opened.wait_while(is_open, |is_open| !*is_open).expect("unpoisoned"));
    let is_first = {
        let mut seen = shared.seen.lock().expect("unpoisoned");
        let seen = seen.entry(path.clone()).or_default();
        seen.asked += 1;
        let is_first = shared.trouble == Trouble::ForGood
            || (seen.turned_away == 0 && shared.trouble != Trouble::Nothing);
        seen.turned_away += usize::from(is_first);
        is_first
    };
    let status = match shared.trouble {
        Trouble::Forbidden => Some("403"),
        Trouble::ForGood => Some("400"),
        Trouble::Busy | Trouble::Rude | Trouble::Nothing => None,
    };
    if let (true, Some(status)) = (is_first, status) {
        let refusal =
            format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return stream.write_all(refusal.as_bytes());
    }
    if is_first && path == "/app/events" {
        if shared.trouble == Trouble::Busy {
            shared.silent.lock().expect("unpoisoned").push(stream);
        }
        return Ok(());
    }
    if is_first && shared.trouble == Trouble::Rude {
        return stream.write_all(b"What?\r\n\r\n");
    }
    if is_first {
        let refusal =
            "HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(refusal.as_bytes());
    }
    let mut line = behind();
    line.send(format!("{head}\r\n\r\n{body}").as_bytes());
    let Some(answer) = line.answer() else { return Ok(()) };
    if (200..300).contains(&answer.status) {
        let mut seen = shared.seen.lock().expect("unpoisoned");
        seen.entry(path).or_default().taken += 1;
    }
    let (status, rest) = answer.head.split_once("\r\n").unwrap_or_default();
    stream.write_all(format!("{status}\r\nConnection: close\r\n{rest}").as_bytes())?;
    stream.write_all(&answer.body)
}

/// The response to message creation, for a request with credentials that asks for feedback.
fn create(stream: &mut TcpStream, head: &str, body: &str, number: u32) -> std::io::Result<()> {
    let is_known = head.to_ascii_lowercase().contains("\r\nauthorization: basic ");
    let is_asked = body.contains("ProvideFeedback=true") || body.contains("ProvideFeedback=True");
    let is_account = head.contains(ACCOUNT);
    let status = if is_known && is_asked && is_account { 201 } else { 400 };
    let answer = json!({ "sid": sid(number), "account_sid": ACCOUNT, "status": "queued" });
    let answer = answer.to_string();
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{answer}"
    )
}

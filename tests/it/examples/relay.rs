//! Proxies in front of a service, each of which makes the first report of a code fail. A proxy passes on each message that
//! is sent through, and holds reports back until the test opens it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::harness::http_client::Line;
use crate::harness::{BASE, Harness};
use crate::send::api::Api;

/// The fault for the first report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer; the connection stays open.
    Silent,
    /// The end of the connection.
    Closed,
    /// Bytes that are no HTTP.
    Garbage,
    /// A 503 with `Retry-After`.
    Busy,
    Forbidden,
    /// A 400, also for each repeat.
    Refused,
    None,
}

impl Fault {
    /// The faults after which a report must be repeated.
    pub(super) const TRANSIENT: [Self; 5] =
        [Self::Silent, Self::Closed, Self::Garbage, Self::Busy, Self::Forbidden];

    /// The bytes sent in place of the service's answer.
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Silent | Self::Closed | Self::None => b"",
            Self::Garbage => b"What?\r\n\r\n",
            Self::Busy => {
                b"HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::Forbidden => {
                b"HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::Refused => {
                b"HTTP/1.1 400 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
        }
    }
}

struct Shared {
    fault: Fault,
    is_open: Mutex<bool>,
    opened: Condvar,
    /// Head and body of each report.
    reports: Mutex<Vec<(String, String)>>,
    /// Connections without an answer; they end with the test.
    silent: Mutex<Vec<TcpStream>>,
}

/// A service with send through, and the stand-in for Twilio's API.
pub(super) struct Backend {
    pub(super) harness: Harness,
    pub(super) api: Api,
}

/// A proxy.
pub(super) struct Relay {
    pub(super) url: String,
    shared: Arc<Shared>,
}

impl Backend {
    /// Starts both, with a proxy for each fault.
    pub(super) fn start<const N: usize>(faults: [Fault; N]) -> (Self, [Relay; N]) {
        let bound = faults.map(|fault| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("bound"));
            (fault, listener, url)
        });
        let api = Api::start();
        // The examples sign for their proxy's URL, the harness signs for its own.
        let mut urls: Vec<&str> = bound.iter().map(|(_, _, url)| url.as_str()).collect();
        urls.push(BASE);
        let harness = Harness::new(&[
            ("HEARDBACK_PUBLIC_URL", &urls.join(",")),
            ("HEARDBACK_SEND", "on"),
            ("HEARDBACK_UPSTREAM_URL", &api.url()),
        ]);
        let service = harness.service.public;
        let relays =
            bound.map(|(fault, listener, url)| Relay::start(fault, listener, url, service));
        (Self { harness, api }, relays)
    }
}

impl Relay {
    fn start(fault: Fault, listener: TcpListener, url: String, service: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            fault,
            is_open: Mutex::default(),
            opened: Condvar::new(),
            reports: Mutex::default(),
            silent: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                let behind = move || Line::open(service);
                // A client that disconnects needs no answer.
                std::thread::spawn(move || relay(stream, behind, &shared));
            }
        });
        Self { url, shared }
    }

    /// Lets the reports through, the first one to its fault.
    pub(super) fn open(&self) {
        *self.shared.is_open.lock().expect("unpoisoned") = true;
        self.shared.opened.notify_all();
    }

    /// Head and body of each report since the proxy was opened.
    pub(super) fn reports(&self) -> Vec<(String, String)> {
        self.shared.reports.lock().expect("unpoisoned").clone()
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

fn relay(mut stream: TcpStream, behind: impl Fn() -> Line, shared: &Shared) -> std::io::Result<()> {
    let (head, body) = read(&mut stream)?;
    if head.starts_with("POST /app/events ") {
        let is_open = shared.is_open.lock().expect("unpoisoned");
        drop(shared.opened.wait_while(is_open, |is_open| !*is_open).expect("unpoisoned"));
        let mut reports = shared.reports.lock().expect("unpoisoned");
        reports.push((head.clone(), body.clone()));
        let is_first = reports.len() == 1;
        drop(reports);
        let is_faulty = is_first || shared.fault == Fault::Refused;
        if is_faulty && shared.fault != Fault::None {
            stream.write_all(shared.fault.bytes())?;
            if shared.fault == Fault::Silent {
                shared.silent.lock().expect("unpoisoned").push(stream);
            }
            return Ok(());
        }
    }
    let mut line = behind();
    line.send(format!("{head}\r\n\r\n{body}").as_bytes());
    let Some(answer) = line.answer() else { return Ok(()) };
    let (status, rest) = answer.head.split_once("\r\n").unwrap_or_default();
    stream.write_all(format!("{status}\r\nConnection: close\r\n{rest}").as_bytes())?;
    stream.write_all(&answer.body)
}

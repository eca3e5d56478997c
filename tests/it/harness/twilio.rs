//! A stand-in for Twilio's Feedback API: records each post and sends the configured response.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// The response to a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// This status and Twilio's body for it: a 2xx names the message, a 4xx has a code, any other
    /// is `{}`.
    Status(u16),
    /// This status and this body.
    Body(u16, &'static str),
    /// 429 with `Retry-After: 1`.
    Throttle,
    /// This status and this header line, which ends in CRLF.
    RetryAfter(u16, &'static str),
    /// 302 to another host.
    Redirect,
    /// 200 and an HTML page.
    Html,
    /// 400 and this error code.
    Refuse(u32),
    /// No response before the manner changes.
    Hold,
    /// No response to the posts of this account before the manner changes; 200 for the others.
    HoldOf(&'static str),
}

#[derive(Default)]
struct Shared {
    manner: Mutex<Option<Manner>>,
    changed: Condvar,
    /// The request line and the body of each post.
    posts: Mutex<Vec<String>>,
    stopped: AtomicBool,
    /// The `Date` of each answer, if it has one.
    date: Mutex<Option<String>>,
}

pub(crate) struct Twilio {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Twilio {
    /// Starts the stand-in, which answers 200.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts the stand-in on the address of an earlier one.
    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("a port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&listener, &serving));
        let twilio = Self { addr, shared, thread: Some(thread) };
        twilio.behave(Manner::Status(200));
        twilio
    }

    /// Sets the response from now on, also for posts without a response yet.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().expect("unpoisoned") = Some(manner);
        self.shared.changed.notify_all();
    }

    /// From now on every answer has this `Date` header.
    pub(crate) fn says_it_is(&self, date: &str) {
        *self.shared.date.lock().expect("unpoisoned") = Some(date.to_owned());
    }

    /// Each post so far: the request line and the body.
    pub(crate) fn posts(&self) -> Vec<String> {
        self.shared.posts.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.behave(Manner::Status(503));
        // Wakes the thread in `accept`.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut clients = Vec::new();
    for stream in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            break;
        }
        let shared = Arc::clone(shared);
        clients.push(std::thread::spawn(move || {
            // A client that disconnects needs no response.
            let _ = answer(stream, &shared);
        }));
    }
    for client in clients {
        let _ = client.join();
    }
}

/// A whole request; `None` if the client disconnects before its end.
pub(crate) fn asked(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    // A GET, which `doctor` sends, ends with its head.
    let is_whole = |request: &[u8]| {
        request.ends_with(b"\r\n\r\nOutcome=confirmed")
            || (request.starts_with(b"GET ") && request.ends_with(b"\r\n\r\n"))
    };
    while !is_whole(&request) {
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => request.extend(buffer.iter().take(count)),
        }
    }
    Ok(Some(String::from_utf8_lossy(&request).into_owned()))
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(text) = asked(&mut stream)? else { return Ok(()) };
    let line = text.lines().next().unwrap_or_default();
    let body = text.rsplit("\r\n\r\n").next().unwrap_or_default();
    shared.posts.lock().expect("unpoisoned").push(format!("{line} {body}"));
    let manner = shared.manner.lock().expect("unpoisoned");
    let held = |manner: &mut Option<Manner>| match manner {
        Some(Manner::HoldOf(account)) => line.contains(*account),
        manner => *manner == Some(Manner::Hold),
    };
    let manner = *shared.changed.wait_while(manner, held).expect("unpoisoned");
    let refused;
    let taken = taken(line);
    let (status, more, body) = match manner {
        Some(Manner::Status(status @ 200..=299)) => (status, "", taken.as_str()),
        Some(Manner::HoldOf(_)) => (200, "", taken.as_str()),
        Some(Manner::Status(status @ 400..=499)) => {
            let code = if matches!(status, 401 | 403) { 20003 } else { 20000 + u32::from(status) };
            refused = format!(r#"{{"code":{code},"message":"X","status":{status}}}"#);
            (status, "Content-Type: application/json\r\n", refused.as_str())
        }
        Some(Manner::Status(status)) => (status, "", "{}"),
        Some(Manner::Body(status, body)) => (status, "", body),
        Some(Manner::Throttle) => (429, "Retry-After: 1\r\n", "{}"),
        Some(Manner::RetryAfter(status, header)) => (status, header, "{}"),
        Some(Manner::Redirect) => (302, "Location: http://192.0.2.1/\r\n", ""),
        Some(Manner::Refuse(code)) => {
            refused = format!(r#"{{"code":{code},"message":"Not this one"}}"#);
            (400, "Content-Type: application/json\r\n", refused.as_str())
        }
        Some(Manner::Html) => (200, "Content-Type: text/html\r\n", "<html>Sign in</html>"),
        Some(Manner::Hold) | None => return Ok(()),
    };
    let date = shared.date.lock().expect("unpoisoned").clone();
    let date = date.map_or_else(String::new, |date| format!("Date: {date}\r\n"));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{more}{date}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Twilio's response to the feedback in this request line, or about the account that it names.
fn taken(line: &str) -> String {
    let path = line.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.split('/').skip_while(|part| *part != "Accounts").skip(1);
    let account = parts.next().unwrap_or_default().trim_end_matches(".json");
    match parts.nth(1) {
        Some(message) => format!(
            r#"{{"account_sid":"{account}","date_created":null,"date_updated":null,"message_sid":"{message}","outcome":"confirmed","uri":"{path}"}}"#
        ),
        None => format!(r#"{{"sid":"{account}","status":"active"}}"#),
    }
}

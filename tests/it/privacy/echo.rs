//! A stand-in for Twilio whose errors repeat the whole post, with the credentials and a person's
//! number.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::twilio::asked;
use crate::privacy::canaries::PEOPLE;

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    posts: AtomicUsize,
    stopped: AtomicBool,
    /// The last `Authorization` header.
    heard: Mutex<String>,
}

pub(super) struct Echo {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::Acquire) {
                    break;
                }
                // A client that disconnects needs no response.
                let _ = answer(stream, &serving);
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }

    /// Sets the status of its responses.
    pub(super) fn says(&self, status: u16) {
        self.shared.status.store(status, Ordering::Release);
    }

    pub(super) fn posts(&self) -> usize {
        self.shared.posts.load(Ordering::Acquire)
    }

    /// The last `Authorization` header.
    pub(super) fn heard(&self) -> String {
        self.shared.heard.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(crate::harness::LONG))?;
    let Some(text) = asked(&mut stream)? else { return Ok(()) };
    let is_authorization =
        |line: &&str| line.to_ascii_lowercase().starts_with("authorization: basic ");
    let credentials = text.lines().find(is_authorization).unwrap_or_default();
    let credentials = credentials.get(15..).unwrap_or_default().to_owned();
    shared.heard.lock().expect("unpoisoned").clone_from(&credentials);
    let digits = PEOPLE[0].trim_start_matches('+');
    let (one, two) = digits.split_at(5);
    let line = text.lines().next().unwrap_or_default();
    let message = format!(
        "{credentials} for {} or %2B{digits} or {one} {two} or {digits} cannot {line}; you sent {}",
        PEOPLE[0],
        text.replace("\r\n", " ")
    );
    let body = serde_json::json!({
        "code": 20500, "message": message, "more_info": message, "message_sid": digits,
    });
    let status = shared.status.load(Ordering::Acquire);
    // A longer wait would delay the next post of the test.
    let wait = if status == 429 { &credentials } else { digits };
    // Every second response is not in Twilio's format.
    let body = if status == 502 { message } else { body.to_string() };
    write!(
        stream,
        "HTTP/1.1 {status} {credentials}\r\nLocation: https://{digits}.example/{credentials}\r\n\
         Retry-After: {wait}\r\nX-Echo: {credentials}\r\nContent-Type: {credentials}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    shared.posts.fetch_add(1, Ordering::AcqRel);
    Ok(())
}

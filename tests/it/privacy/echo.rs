//! A fake Twilio whose errors repeat the whole post, its credentials included, and a person's number.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::LONG;
use crate::privacy::canaries::PEOPLE;
use crate::support::fake_twilio::{ApiRequest, FakeTwilio};
use crate::support::http::Connection;

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    posts: AtomicUsize,
    /// The credentials of the last post.
    heard: Mutex<String>,
}

pub(super) struct Echo {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    _server: FakeTwilio,
}

impl Echo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let serve = move |_, connection| {
            // The client may have closed the connection.
            let _ = reply(connection, &serving);
        };
        let server = FakeTwilio::start(listener, serve).expect("started");
        Self { addr: server.addr, shared, _server: server }
    }

    /// Sets the status of all later replies.
    pub(super) fn says(&self, status: u16) {
        self.shared.status.store(status, Ordering::Release);
    }

    pub(super) fn posts(&self) -> usize {
        self.shared.posts.load(Ordering::Acquire)
    }

    /// The credentials of the last post.
    pub(super) fn heard(&self) -> String {
        self.shared.heard.lock().expect("unpoisoned").clone()
    }
}

fn reply(mut connection: Connection, shared: &Shared) -> io::Result<()> {
    connection.set_timeout(LONG)?;
    let request = ApiRequest::read(&mut connection)?;
    let credentials = request.header("Authorization").unwrap_or_default();
    credentials.clone_into(&mut shared.heard.lock().expect("unpoisoned"));
    let digits = PEOPLE[0].trim_start_matches('+');
    let (one, two) = digits.split_at(5);
    let message = format!(
        "{credentials} for {} or %2B{digits} or {one} {two} or {digits} cannot {}; you sent {}{}",
        PEOPLE[0],
        request.request_line(),
        request.head.replace("\r\n", " "),
        request.body
    );
    let body = serde_json::json!({
        "code": 20500, "message": message, "more_info": message, "message_sid": digits,
    });
    let status = shared.status.load(Ordering::Acquire);
    // A number of seconds would hold the next post.
    let wait = if status == 429 { credentials } else { digits };
    // A 502 is not from Twilio.
    let body = if status == 502 { message } else { body.to_string() };
    let reply = format!(
        "HTTP/1.1 {status} {credentials}\r\nLocation: https://{digits}.example/{credentials}\r\n\
         Retry-After: {wait}\r\nX-Echo: {credentials}\r\nContent-Type: {credentials}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.send(reply.as_bytes())?;
    shared.posts.fetch_add(1, Ordering::AcqRel);
    Ok(())
}

//! The fake Twilio of the tests: it records each post and replies as the test says.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::fake_twilio::{ApiReply, ApiRequest, FakeTwilio};
use crate::support::http::Connection;

/// The response to a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TwilioReply {
    /// This status and Twilio's body for it: a 2xx names the message, a 4xx has a code, any other is `{}`.
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
    /// No reply before the reply changes.
    Hold,
    /// No reply to the posts of this account before the reply changes; 200 for the others.
    HoldOf(&'static str),
}

struct Shared {
    current_reply: Mutex<TwilioReply>,
    changed: Condvar,
    /// The request line and the body of each post.
    posts: Mutex<Vec<String>>,
    /// The `Date` of each reply, if it has one.
    date: Mutex<Option<String>>,
}

pub(crate) struct Twilio {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    server: Option<FakeTwilio>,
}

impl Twilio {
    /// Starts a server that replies 200.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one at this address, where another one was stopped.
    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("a port");
        let shared = Arc::new(Shared {
            current_reply: Mutex::new(TwilioReply::Status(200)),
            changed: Condvar::new(),
            posts: Mutex::default(),
            date: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let serve = move |_, connection| {
            // The client may have closed the connection.
            let _ = reply(connection, &serving);
        };
        let server = FakeTwilio::start(listener, serve).expect("started");
        Self { addr: server.addr, shared, server: Some(server) }
    }

    /// Changes the reply to all later posts, and to the posts that are held.
    pub(crate) fn reply_with(&self, current_reply: TwilioReply) {
        *self.shared.current_reply.lock().expect("unpoisoned") = current_reply;
        self.shared.changed.notify_all();
    }

    /// Adds this `Date` header to all later replies.
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
        // The server waits for its connections, so the posts that are held need a reply.
        self.reply_with(TwilioReply::Status(503));
        self.server = None;
    }
}

fn reply(mut connection: Connection, shared: &Shared) -> io::Result<()> {
    let request = ApiRequest::read(&mut connection)?;
    let post = format!("{} {}", request.request_line(), request.body);
    shared.posts.lock().expect("unpoisoned").push(post);
    let is_held = |current_reply: &mut TwilioReply| {
        *current_reply == TwilioReply::Hold
            || matches!(current_reply, TwilioReply::HoldOf(account) if request.account() == *account)
    };
    let current_reply = shared.current_reply.lock().expect("unpoisoned");
    let current_reply = *shared.changed.wait_while(current_reply, is_held).expect("unpoisoned");
    let with = |status, headers: &str, body: &str| ApiReply {
        status,
        headers: headers.to_owned(),
        body: body.to_owned(),
    };
    let mut reply = match current_reply {
        TwilioReply::Status(status @ 200..=299) => ApiReply::accepted(status, &request),
        TwilioReply::HoldOf(_) | TwilioReply::Hold => ApiReply::accepted(200, &request),
        TwilioReply::Status(status @ (401 | 403)) => ApiReply::error(status, 20003, "X"),
        TwilioReply::Status(status @ 400..=499) => {
            ApiReply::error(status, 20000 + u32::from(status), "X")
        }
        TwilioReply::Status(status) => with(status, "", "{}"),
        TwilioReply::Body(status, body) => with(status, "", body),
        TwilioReply::Throttle => with(429, "Retry-After: 1\r\n", "{}"),
        TwilioReply::RetryAfter(status, header) => with(status, header, "{}"),
        TwilioReply::Redirect => with(302, "Location: http://192.0.2.1/\r\n", ""),
        TwilioReply::Refuse(code) => ApiReply::error(400, code, "Not this one"),
        TwilioReply::Html => with(200, "Content-Type: text/html\r\n", "<html>Sign in</html>"),
    };
    if let Some(date) = &*shared.date.lock().expect("unpoisoned") {
        reply.add_header("Date", date);
    }
    reply.add_header("Connection", "close");
    connection.send(&reply.to_bytes())
}

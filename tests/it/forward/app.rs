//! The stand-in for the app: it records each webhook that it receives, and answers as the test says.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};

use heardback::twilio::form;
use heardback::twilio::signature::{Content, SigningKey, verify_url};

use crate::harness::{LONG, eventually, key};
use crate::support::fake_twilio::FakeTwilio;
use crate::support::http::{Connection, header};

/// A webhook that the app received.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(super) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Whether its signature is valid for the URL that the app sees.
    pub(super) fn is_signed_by(&self, key: &SigningKey) -> bool {
        let url = format!("http://{}{}", self.header("Host").unwrap_or_default(), self.target());
        let body = self.body.as_bytes();
        let pairs = form::pairs(body);
        let is_get = self.method() == "GET";
        let content = if is_get { Content::Nothing } else { Content::Form { pairs: &pairs, body } };
        let signature = self.header("X-Twilio-Signature").map(str::as_bytes);
        verify_url([key], &url, &content, is_get, signature).is_ok()
    }
}

/// The bytes of the app's answers.
#[derive(Debug, Clone)]
pub(super) enum AppReply {
    /// This answer, and then the end of the connection.
    Bytes(Vec<u8>),
    /// No answer before the reply changes.
    Hold,
    /// No answer to webhooks whose body contains this text before the reply changes; 200 to the others.
    HoldOf(&'static str),
}

/// An answer with a body.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> AppReply {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    AppReply::Bytes(text.into_bytes())
}

/// `TwiML` that texts this back.
pub(super) fn twiml(text: &str) -> String {
    format!("<?xml version=\"1.0\"?><Response><Message>{text}</Message></Response>")
}

/// 200 with `TwiML`.
pub(super) fn says(text: &str) -> AppReply {
    answer("200 OK", "Content-Type: text/xml\r\n", &twiml(text))
}

struct Shared {
    reply: Mutex<AppReply>,
    changed: Condvar,
    received: Mutex<Vec<Received>>,
    /// The bodies of webhooks whose answer was sent.
    answered: Mutex<Vec<String>>,
}

pub(super) struct App {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    server: Option<FakeTwilio>,
}

impl App {
    pub(super) fn start(reply: AppReply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            changed: Condvar::new(),
            received: Mutex::default(),
            answered: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let serve = move |_, connection| {
            // The client may have closed the connection.
            let _ = respond(connection, &serving);
        };
        let server = FakeTwilio::start(listener, serve).expect("started");
        Self { addr: server.addr, shared, server: Some(server) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Changes the reply to all later webhooks, and to those that are held.
    pub(super) fn reply_with(&self, reply: AppReply) {
        *self.shared.reply.lock().expect("unpoisoned") = reply;
        self.shared.changed.notify_all();
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("unpoisoned").clone()
    }

    pub(super) fn answered(&self) -> Vec<String> {
        self.shared.answered.lock().expect("unpoisoned").clone()
    }

    /// Waits for this number of webhooks, and returns them. Each has a valid signature.
    pub(super) fn receives(&self, count: usize) -> Vec<Received> {
        eventually(&format!("the app has {count} webhooks"), LONG, || {
            self.received().len() >= count
        });
        let received = self.received();
        assert_eq!(received.len(), count, "{received:?}");
        assert!(received.iter().all(|one| one.is_signed_by(&key())), "{received:?}");
        received
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The server waits for its connections, so the webhooks that are held need an answer.
        self.reply_with(says("the end"));
        self.server = None;
    }
}

fn respond(mut connection: Connection, shared: &Shared) -> io::Result<()> {
    let head = connection.head()?;
    let body = String::from_utf8_lossy(&connection.body(&head)?).into_owned();
    let received = Received { head, body: body.clone() };
    shared.received.lock().expect("unpoisoned").push(received);
    let is_held = |reply: &mut AppReply| match reply {
        AppReply::Hold => true,
        AppReply::HoldOf(text) => body.contains(*text),
        AppReply::Bytes(_) => false,
    };
    let reply = shared.reply.lock().expect("unpoisoned");
    let reply = shared.changed.wait_while(reply, is_held).expect("unpoisoned").clone();
    let bytes = match reply {
        AppReply::Bytes(bytes) => bytes,
        AppReply::Hold | AppReply::HoldOf(_) => {
            let AppReply::Bytes(bytes) = says("not held") else { return Ok(()) };
            bytes
        }
    };
    shared.answered.lock().expect("unpoisoned").push(body);
    connection.send(&bytes)
}

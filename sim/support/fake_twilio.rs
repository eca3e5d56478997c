//! A fake of Twilio's API: reads requests, one thread for each connection. Its caller decides each reply.
//!
//! Absent: credentials and state. `sim/chaos/upstream.rs`, `sim/bench/stubs.rs` and `tests/it/harness/twilio.rs` add
//! what they need.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::support::http::{Connection, header};

/// A request to Twilio's API.
pub(crate) struct ApiRequest {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl ApiRequest {
    /// Reads the next request of a connection.
    pub(crate) fn read(connection: &mut Connection) -> io::Result<Self> {
        let head = connection.head()?;
        let body = String::from_utf8_lossy(&connection.body(&head)?).into_owned();
        Ok(Self { head, body })
    }

    /// Such as `POST /2010-04-01/… HTTP/1.1`.
    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The SID of the account in the path.
    pub(crate) fn account(&self) -> &str {
        self.after("Accounts").unwrap_or_default()
    }

    /// The SID of the message in the path; `None` in a request about the account.
    pub(crate) fn message(&self) -> Option<&str> {
        self.after("Messages")
    }

    /// Whether this is a well-formed confirmation of a message.
    pub(crate) fn is_feedback(&self) -> bool {
        self.target().ends_with("/Feedback.json") && self.body == "Outcome=confirmed"
    }

    fn after(&self, collection: &str) -> Option<&str> {
        let mut parts = self.target().split('/').skip_while(|part| *part != collection);
        parts.nth(1).map(|part| part.trim_end_matches(".json"))
    }
}

/// A reply of the API.
pub(crate) struct ApiReply {
    pub(crate) status: u16,
    /// Header lines, each with its CRLF.
    pub(crate) headers: String,
    pub(crate) body: String,
}

const JSON: &str = "Content-Type: application/json\r\n";

impl ApiReply {
    /// Twilio's body for accepted feedback, or for a request about the account.
    pub(crate) fn accepted(status: u16, request: &ApiRequest) -> Self {
        let (account, path) = (request.account(), request.target());
        let body = match request.message() {
            Some(message) => format!(
                r#"{{"account_sid":"{account}","date_created":null,"date_updated":null,"message_sid":"{message}","outcome":"confirmed","uri":"{path}"}}"#
            ),
            None => format!(r#"{{"sid":"{account}","status":"active"}}"#),
        };
        Self { status, headers: JSON.to_owned(), body }
    }

    /// Twilio's body for an error.
    pub(crate) fn error(status: u16, code: u32, message: &str) -> Self {
        let body = format!(r#"{{"code":{code},"message":"{message}","status":{status}}}"#);
        Self { status, headers: JSON.to_owned(), body }
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        self.headers.extend([name, ": ", value, "\r\n"]);
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { status, headers, body } = self;
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

/// The running server. Drop stops it, and waits until every connection has ended.
pub(crate) struct FakeTwilio {
    pub(crate) addr: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeTwilio {
    /// Hands each connection and its number to `serve`.
    pub(crate) fn start(
        listener: TcpListener,
        serve: impl Fn(u64, Connection) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let acceptor = thread::spawn(move || accept(&listener, &stopped, &Arc::new(serve)));
        Ok(Self { addr, is_stopped, acceptor: Some(acceptor) })
    }

    /// Serves until the process ends.
    pub(crate) fn join(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for FakeTwilio {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        // This connection wakes the acceptor.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    is_stopped: &AtomicBool,
    serve: &Arc<impl Fn(u64, Connection) + Send + Sync + 'static>,
) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    for (number, stream) in (0..).zip(listener.incoming().flatten()) {
        if is_stopped.load(Ordering::Acquire) {
            break;
        }
        let Ok(connection) = Connection::over(stream) else { continue };
        let serve = Arc::clone(serve);
        connections.retain(|thread| !thread.is_finished());
        connections.push(thread::spawn(move || serve(number, connection)));
    }
    for connection in connections {
        let _ = connection.join();
    }
}

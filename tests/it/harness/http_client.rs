//! The HTTP client of the tests: the shared one with assertions, and requests that are malformed on purpose.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use heardback::recording::Recording;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::harness::LONG;
use crate::support::http::Connection;
pub(crate) use crate::support::http::{
    Response as Answer, request_bytes as bytes, request_head as head,
};

/// A connection from this loopback address.
pub(crate) fn connected_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&own, &SocketAddrV4::new(source, 0)).expect("bound");
    connect(&own, &to).expect("connected");
    TcpStream::from(own)
}

/// The request with a chunked body.
pub(crate) fn chunked(request: &Recording, chunk: usize) -> Vec<u8> {
    let mut request = request.clone();
    request.headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    let body = std::mem::take(&mut request.body);
    "POST".clone_into(&mut request.method);
    let no_length =
        String::from_utf8_lossy(&head(&request, 0)).replace("Content-Length: 0\r\n", "");
    let mut bytes = no_length.into_bytes();
    for chunk in body.chunks(chunk) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A connection to the service.
pub(crate) struct Line(Connection);

impl Line {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).expect("connected")
    }

    /// `None` if the port is closed.
    pub(crate) fn try_open(addr: SocketAddr) -> Option<Self> {
        Connection::open(addr, LONG).ok().map(Self)
    }

    /// Uses an open connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let connection = Connection::over(stream).expect("set");
        connection.set_timeout(LONG).expect("set");
        Self(connection)
    }

    /// Sends; returns whether the service still accepted the bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.send(bytes).is_ok()
    }

    /// Closes the sending half.
    pub(crate) fn end(&self) {
        self.0.finish();
    }

    /// The next response, read to its end; `None` if the connection ends or times out before.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.0.response().ok()
    }

    /// The response to a request with this method: one to HEAD has no body, whatever its length.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        if method == "HEAD" { self.0.response_head().ok() } else { self.answer() }
    }

    /// Reads up to and including this text.
    pub(crate) fn reads_until(&mut self, words: &str) {
        assert!(self.0.read_until(words).is_ok(), "{words} is not said");
    }

    /// Whether the service closes the connection within this time and sends nothing before.
    pub(crate) fn is_closed_within(&mut self, timeout: Duration) -> bool {
        let is_closed = self.0.is_closed_within(timeout).expect("set");
        self.0.set_timeout(LONG).expect("set");
        is_closed
    }
}

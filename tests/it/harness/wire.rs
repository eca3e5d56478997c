//! HTTP/1.1 as bytes on a socket: tests can send malformed requests and see each response as it is,
//! with the end of the connection.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use heardback::recording::Recording;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use crate::harness::LONG;

/// A connection from this loopback address.
pub(crate) fn connected_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&own, &SocketAddrV4::new(source, 0)).expect("bound");
    connect(&own, &to).expect("connected");
    TcpStream::from(own)
}

/// A request as its bytes, with its length.
pub(crate) fn bytes(request: &Recording) -> Vec<u8> {
    let mut bytes = head(request, request.body.len());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// The head of a request that declares a body of this length.
pub(crate) fn head(request: &Recording, length: usize) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: x\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if length > 0 || request.method == "POST" {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The same request in chunks.
pub(crate) fn chunked(request: &Recording, chunk: usize) -> Vec<u8> {
    let mut request = request.clone();
    request.headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    let body = std::mem::take(&mut request.body);
    "POST".clone_into(&mut request.method);
    let mut bytes = head(&request, 0);
    let no_length = String::from_utf8_lossy(&bytes).replace("Content-Length: 0\r\n", "");
    bytes = no_length.into_bytes();
    for chunk in body.chunks(chunk) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The whole head.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the response announces that the connection ends.
    pub(crate) fn says_close(&self) -> bool {
        self.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The response without its date, the only part that may differ between two 403 responses.
    pub(crate) fn but_for_the_date(&self) -> String {
        let lines =
            self.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        lines.chain([self.text().as_str()]).collect::<Vec<_>>().join("\n")
    }
}

/// A connection.
pub(crate) struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Line {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).expect("connected")
    }

    /// `None` if there is no listener.
    pub(crate) fn try_open(addr: SocketAddr) -> Option<Self> {
        TcpStream::connect(addr).ok().map(Self::over)
    }

    /// Uses a connection that is already open.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.set_write_timeout(Some(LONG)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes; returns whether the other side accepted them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Ends the sending half.
    pub(crate) fn end(&self) {
        // The other side may have closed it already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next response, read to its end; `None` if the connection ends or stays silent instead.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// The next response to this method: a response to HEAD has no body, whatever its length says.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read()?,
            }
        };
        let rest = self.unread.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.unread, rest)).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("Content-Length").and_then(|text| text.parse().ok());
        let length: usize = if method == "HEAD" { 0 } else { length.unwrap_or_default() };
        while self.unread.len() < length {
            self.read()?;
        }
        let rest = self.unread.split_off(length);
        answer.body = std::mem::replace(&mut self.unread, rest);
        Some(answer)
    }

    /// Reads on until this text; everything up to it counts as read.
    pub(crate) fn reads_until(&mut self, words: &str) {
        let found =
            |unread: &[u8]| unread.windows(words.len()).rposition(|it| it == words.as_bytes());
        let at = loop {
            match found(&self.unread) {
                Some(at) => break at,
                None => assert!(self.read().is_some(), "{words} is not in the response"),
            }
        };
        self.unread.drain(..at + words.len());
    }

    /// Whether the other side closes the connection within that time without another byte.
    pub(crate) fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).expect("set");
        let silent = self.unread.is_empty();
        let end = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(LONG)).expect("set");
        match end {
            Ok(count) => silent && count == 0,
            Err(error) => {
                silent && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
            }
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        self.unread.extend_from_slice(buffer.get(..count)?);
        Some(())
    }
}

//! HTTP/1.1 as bytes on a socket: what is sent may be as wrong as it likes, and what comes back is
//! seen as it is, the end of the connection included.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use heardback::recording::Recording;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use crate::harness::LONG;

/// A connection from that loopback address of this machine.
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

/// The same in chunks.
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

/// What came back.
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

    /// Whether it says that the connection ends here.
    pub(crate) fn says_close(&self) -> bool {
        self.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Everything but the date, which is the only thing that may differ between two forbidden ones.
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

    /// `None` if nobody listens there any more.
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

    /// Sends; says whether the other side still took it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// No more will be sent.
    pub(crate) fn end(&self) {
        // It may be gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer, read to its end; `None` if the connection ends or stays silent instead.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// The same; an answer to HEAD has no body, whatever its length says.
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

    /// Reads on until that was said; what came with it and before it counts as read.
    pub(crate) fn reads_until(&mut self, words: &str) {
        let found =
            |unread: &[u8]| unread.windows(words.len()).rposition(|it| it == words.as_bytes());
        let at = loop {
            match found(&self.unread) {
                Some(at) => break at,
                None => assert!(self.read().is_some(), "{words} is not said"),
            }
        };
        self.unread.drain(..at + words.len());
    }

    /// Whether the other side closes it within that time, saying nothing more.
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

//! HTTP/1.1 over a socket: requests are bytes and may be malformed; responses are read as they arrive.
//!
//! Absent: TLS, redirects, chunked responses.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use heardback::recording::Recording;
use serde_json::Value;

/// The bytes of a request, with its `Content-Length`.
pub(crate) fn request_bytes(request: &Recording) -> Vec<u8> {
    let mut bytes = request_head(request, request.body.len());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// The head of a request that declares a body of this length.
pub(crate) fn request_head(request: &Recording, length: usize) -> Vec<u8> {
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

/// The value of a header in a head, by its name in any case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The length that a head declares; 0 without a `Content-Length`.
fn content_length(head: &str) -> usize {
    header(head, "Content-Length").and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// An unsigned form.
pub(crate) fn form(target: &str, fields: &[(&str, &str)]) -> Recording {
    let body = serde_urlencoded::to_string(fields).unwrap_or_default();
    post(target, "application/x-www-form-urlencoded", body.as_bytes())
}

/// An unsigned POST.
pub(crate) fn post(target: &str, media_type: &str, body: &[u8]) -> Recording {
    Recording {
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
        body: body.to_vec(),
        ..Recording::default()
    }
}

/// An unsigned GET.
pub(crate) fn get(target: &str) -> Recording {
    Recording { method: "GET".to_owned(), target: target.to_owned(), ..Recording::default() }
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Up to and including the blank line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the server closes the connection after this response.
    pub(crate) fn closes(&self) -> bool {
        self.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Head and body without the `Date` header, for comparisons.
    pub(crate) fn without_date(&self) -> String {
        let lines = self.head.lines();
        let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        lines.chain([self.text().as_str()]).collect::<Vec<_>>().join("\n")
    }
}

/// A connection, of a client or of a server.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Bytes that arrived and were not consumed.
    unread: Vec<u8>,
}

impl Connection {
    /// Connects. `timeout` applies to the connect, and to each read and write.
    pub(crate) fn open(to: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let connection = Self::over(TcpStream::connect_timeout(&to, timeout)?)?;
        connection.set_timeout(timeout)?;
        Ok(connection)
    }

    /// Uses an open stream.
    pub(crate) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Limits each read and each write.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.set_write_timeout(Some(timeout))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Closes the sending half.
    pub(crate) fn finish(&self) {
        // The peer may have closed the connection.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a request and reads its response.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request)?;
        self.response()
    }

    /// Reads the next response to its end.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        let mut response = self.response_head()?;
        response.body = self.body(&response.head)?;
        Ok(response)
    }

    /// Reads the head of the next response, which may be the response to a HEAD request.
    pub(crate) fn response_head(&mut self) -> io::Result<Response> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("not an HTTP response"))?;
        Ok(Response { status, head, body: Vec::new() })
    }

    /// Reads a head, with the blank line at its end.
    pub(crate) fn head(&mut self) -> io::Result<String> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read_more()?,
            }
        };
        let head = self.unread.drain(..end).collect::<Vec<_>>();
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Reads the body that this head declares.
    pub(crate) fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        let length = content_length(head);
        while self.unread.len() < length {
            self.read_more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Reads up to and including `text`.
    pub(crate) fn read_until(&mut self, text: &str) -> io::Result<()> {
        let find = |unread: &[u8]| unread.windows(text.len()).rposition(|it| it == text.as_bytes());
        let at = loop {
            match find(&self.unread) {
                Some(at) => break at,
                None => self.read_more()?,
            }
        };
        self.unread.drain(..at + text.len());
        Ok(())
    }

    /// Whether the peer closes the connection within `timeout` and sends nothing before. The timeout stays set.
    pub(crate) fn is_closed_within(&mut self, timeout: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(timeout))?;
        let was_silent = self.unread.is_empty();
        Ok(match self.stream.read(&mut [0; 1]) {
            Ok(count) => was_silent && count == 0,
            Err(error) => {
                was_silent && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
            }
        })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(())
    }
}

//! A client's connection: a request's bytes out, an answer's head in, each within a deadline.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use heardback::recording::Recording;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any fault that passes lasts; whoever waits longer knows nothing.
const PATIENCE: Duration = Duration::from_secs(4);

/// An answer, as far as it came. Its head is whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its bytes, to the blank line.
    pub(crate) head: Vec<u8>,
    /// Whole or empty.
    pub(crate) body: Vec<u8>,
    /// Whether another request may follow.
    pub(crate) keeps: bool,
    /// Our end of the connection.
    pub(crate) port: u16,
}

/// A request as its bytes, with its length.
pub(crate) fn bytes(request: &Recording) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: x\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", request.body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Sends a request and reads its answer; an error says how far it came.
pub(crate) async fn exchange(
    line: &mut Option<TcpStream>,
    to: SocketAddr,
    bytes: &[u8],
) -> Result<Answer, &'static str> {
    let talk = async {
        let mut stream = match line.take() {
            Some(stream) => stream,
            None => TcpStream::connect(to).await.map_err(|_| "no connection")?,
        };
        stream.write_all(bytes).await.map_err(|_| "broke while it was sent")?;
        let answer = read(&mut stream).await?;
        if answer.keeps {
            *line = Some(stream);
        }
        Ok(answer)
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(end) => end,
        Err(_) => Err("no answer in time"),
    }
}

async fn read(stream: &mut TcpStream) -> Result<Answer, &'static str> {
    let mut unread = Vec::new();
    let end = loop {
        match unread.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => more(stream, &mut unread).await.ok_or("broke before its answer")?,
        }
    };
    let mut body = unread.split_off(end);
    let head = String::from_utf8_lossy(&unread).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no HTTP")?;
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize =
        value("content-length:").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut keeps = value("connection:") != Some("close");
    while body.len() < length {
        // The head came: what it says holds, whatever becomes of the rest.
        if more(stream, &mut body).await.is_none() {
            (keeps, body) = (false, Vec::new());
            break;
        }
    }
    let port = stream.local_addr().map_or(0, |own| own.port());
    Ok(Answer { status, head: unread, body, keeps, port })
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

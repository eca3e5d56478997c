//! A valid request, and methods that invalidate one part of it.

use crate::harness::http_client;
use crate::harness::{signed, status_callback};

/// The message in refused requests: the service must never store it.
pub(super) const REFUSED: u32 = 7;

/// A signed status callback as text, for tests to change.
pub(super) struct Base {
    pub(super) whole: String,
    pub(super) unsigned: String,
    body: String,
}

impl Base {
    pub(super) fn of(number: u32) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
        let request = status_callback(number, "sent");
        let whole = text(http_client::bytes(&signed(&request)));
        Self { whole, unsigned: text(http_client::bytes(&request)), body: text(request.body) }
    }

    pub(super) fn swap(&self, from: &str, to: &str) -> String {
        assert!(self.whole.contains(from), "{from}");
        self.whole.replacen(from, to, 1)
    }

    /// Adds headers.
    pub(super) fn with(&self, headers: &str) -> String {
        self.swap("Host: x\r\n", &format!("Host: x\r\n{headers}\r\n"))
    }

    pub(super) fn length(&self) -> String {
        format!("Content-Length: {}", self.body.len())
    }

    /// Replaces the framing headers.
    pub(super) fn framed(&self, headers: &str) -> String {
        self.swap(&self.length(), headers)
    }

    /// The head alone, with other framing headers.
    pub(super) fn head(&self, headers: &str) -> String {
        let framed = self.framed(headers);
        format!("{}\r\n\r\n", framed.split("\r\n\r\n").next().unwrap_or_default())
    }

    pub(super) fn chunk(&self) -> String {
        format!("{:x}\r\n{}\r\n0\r\n\r\n", self.body.len(), self.body)
    }

    /// Chunked, with these bytes as the body.
    pub(super) fn chunks(&self, bytes: &str) -> String {
        self.head("Transfer-Encoding: chunked") + bytes
    }

    /// The valid chunk under another transfer encoding.
    pub(super) fn encoded(&self, encoding: &str) -> String {
        self.head(&format!("Transfer-Encoding: {encoding}")) + &self.chunk()
    }

    pub(super) fn target(&self, target: &str) -> String {
        self.swap("/twilio/status", target)
    }

    pub(super) fn method(&self, method: &str) -> String {
        self.swap("POST", method)
    }

    pub(super) fn version(&self, version: &str) -> String {
        self.swap("HTTP/1.1", version)
    }

    /// Adds headers up to this total count.
    pub(super) fn headers(&self, count: usize) -> String {
        let head = self.whole.split("\r\n\r\n").next().unwrap_or_default();
        let known = head.lines().count() - 1;
        let more: Vec<_> = (known..count).map(|number| format!("X-{number}: y")).collect();
        self.with(&more.join("\r\n"))
    }
}

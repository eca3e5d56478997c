//! A recorded request as a raw `.http` file: what truly came in, kept where a person can read it.
//!
//! Notes about where it comes from, then the request as HTTP/1.1 writes it:
//!
//! ```text
//! # a status callback, from Twilio's documentation
//! POST /twilio/status?x=1 HTTP/1.1
//! Content-Type: application/x-www-form-urlencoded
//!
//! MessageSid=SM…&MessageStatus=delivered
//! ```
//!
//! A recording's own signature is worth nothing later, under another URL and key: [`Recording::signed`]
//! makes a fresh one. Deliberately absent: folded header lines, chunked bodies, anything but UTF-8 in
//! the head.

pub mod multipart;
pub mod rotating_dir;

use crate::twilio::form;
use crate::twilio::signature::{Content, SigningKey, sign, with_body_hash};

/// The header that carries the signature.
const SIGNATURE: &str = "X-Twilio-Signature";
/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The note of a refused request that says why it was refused.
pub const REFUSED_NOTE: &str = "refused";
/// The note with the time of the refusal.
pub const AT_NOTE: &str = "at";
/// The note that stands for a body that was not kept: its SHA-256 in hexadecimal, its length.
pub const BODY_HASH_NOTE: &str = "body sha256";
/// The note of a request whose values were hashed, for nothing could be verified with them.
pub const HASHED_NOTE: &str = "values hashed";
/// The note of a request whose path is no route: the nearest route.
pub const NEAREST_NOTE: &str = "nearest route";
/// The note that stands for a signature that is none: how many characters it had.
pub const SIGNATURE_LENGTH_NOTE: &str = "signature";

/// One request, with what is known about its origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// Where it comes from: the `#` lines before the request, each without its `# `. No line breaks.
    pub notes: Vec<String>,
    /// The method, e.g. `POST`.
    pub method: String,
    /// Path and query, as on the request line.
    pub target: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a `.http` file should have said, and where. What it does say may be personal and is not
/// repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct RecordingError {
    /// The line's number, from 1.
    pub line: usize,
    pub expected: String,
}

impl Recording {
    /// Reads a `.http` file. Lines of the head may end in LF or CRLF.
    ///
    /// The body is the rest of the file less one final line break (CRLF only if the head's blank line
    /// ended so), or exactly as many bytes as a `Content-Length` says.
    ///
    /// # Errors
    /// [`RecordingError`] with the first line that is not what it should be.
    pub fn parse(file: &[u8]) -> Result<Self, RecordingError> {
        let mut lines = Lines { rest: file, number: 0 };
        let mut recording = Self::default();
        let request_line = loop {
            let line = lines.next("a request line such as `POST /path HTTP/1.1`")?;
            match line.text.strip_prefix('#') {
                Some(note) => {
                    recording.notes.push(note.strip_prefix(' ').unwrap_or(note).to_owned());
                }
                None => break line.text,
            }
        };
        let (method, target) = request(request_line)
            .ok_or_else(|| lines.error("a request line such as `POST /path HTTP/1.1`"))?;
        method.clone_into(&mut recording.method);
        target.clone_into(&mut recording.target);

        let mut line_break: &[u8] = b"\n";
        let mut length: Option<usize> = None;
        while !lines.rest.is_empty() {
            let line = lines.next("a header")?;
            if line.text.is_empty() {
                line_break = line.ending;
                break;
            }
            let (name, value) = header(line.text)
                .ok_or_else(|| lines.error("a header such as `Name: value`, or a blank line"))?;
            if is_length(name) {
                let bytes = value.parse();
                length = Some(bytes.map_err(|_| lines.error("a Content-Length in digits"))?);
            }
            recording.headers.push((name.to_owned(), value.to_owned()));
        }
        recording.body = lines.body(length, line_break)?.to_vec();
        Ok(recording)
    }

    /// Writes the `.http` file that [`Self::parse`] reads. A `Content-Length` is set right.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = String::new();
        for note in &self.notes {
            head.push_str(if note.is_empty() { "#" } else { "# " });
            head.push_str(note);
            head.push('\n');
        }
        for piece in [&self.method, " ", &self.target, " HTTP/1.1\n"] {
            head.push_str(piece);
        }
        let length = self.body.len().to_string();
        for (name, value) in &self.headers {
            let value = if is_length(name) { &length } else { value };
            head.push_str(format!("{name}: {value}").trim_end_matches(' '));
            head.push('\n');
        }
        head.push('\n');
        let mut file = head.into_bytes();
        if !self.body.is_empty() {
            file.extend_from_slice(&self.body);
            file.push(b'\n');
        }
        file
    }

    /// The first header of that name, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// What the note of that name says, if there is one such as `# name: what it says`.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes.find_map(|note| note.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Whether the body is a form, by its `Content-Type`.
    #[must_use]
    pub fn is_form(&self) -> bool {
        self.header("Content-Type")
            .and_then(|value| value.split(';').next())
            .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(FORM))
    }

    /// The fields of a form that was sent as `multipart/form-data`.
    #[must_use]
    pub fn multipart_fields(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        multipart::fields(self.header("Content-Type")?, &self.body)
    }

    /// A copy with a fresh signature for that public base (an origin, maybe with a path prefix, no
    /// trailing slash) in place of any old one.
    ///
    /// A body that is no form is vouched for by `bodySHA256` in the target, which this sets; a GET,
    /// or a request without body and `Content-Type`, is signed by its URL alone.
    #[must_use]
    pub fn signed(&self, key: &SigningKey, base: &str) -> Self {
        let mut copy = self.clone();
        copy.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(SIGNATURE));
        let pairs = form::pairs(&self.body);
        let is_bare = self.body.is_empty() && self.header("Content-Type").is_none();
        let content = if self.method == "GET" || is_bare {
            Content::Nothing
        } else if self.is_form() {
            Content::Form { pairs: &pairs, body: &self.body }
        } else {
            copy.target = with_body_hash(&self.target, &self.body);
            Content::Other(&self.body)
        };
        let signature = sign(key, &format!("{base}{}", copy.target), &content);
        copy.headers.push((SIGNATURE.to_owned(), signature));
        copy
    }
}

/// The head of a file, line by line.
struct Lines<'a> {
    rest: &'a [u8],
    /// The number of the line read last.
    number: usize,
}

struct Line<'a> {
    text: &'a str,
    ending: &'static [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self, expected: &str) -> Result<Line<'a>, RecordingError> {
        self.number += 1;
        if self.rest.is_empty() {
            return Err(self.error(expected));
        }
        let mut halves = self.rest.splitn(2, |byte| *byte == b'\n');
        let line = halves.next().unwrap_or_default();
        self.rest = halves.next().unwrap_or_default();
        let (line, ending): (_, &[u8]) = match line.strip_suffix(b"\r") {
            Some(line) => (line, b"\r\n"),
            None => (line, b"\n"),
        };
        let text = std::str::from_utf8(line).map_err(|_| self.error("UTF-8 text"))?;
        // At a line's end it would be taken for the line's when it is read again (RFC 9112, §2.2).
        if text.contains('\r') {
            return Err(self.error("no carriage return but before a line feed"));
        }
        Ok(Line { text, ending })
    }

    /// The body, once the head is read: exactly so long, or the rest less one final line break.
    fn body(&self, length: Option<usize>, line_break: &[u8]) -> Result<&'a [u8], RecordingError> {
        let Some(length) = length else {
            let trimmed = self.rest.strip_suffix(line_break);
            return Ok(trimmed.or_else(|| self.rest.strip_suffix(b"\n")).unwrap_or(self.rest));
        };
        match self.rest.split_at_checked(length) {
            Some((body, b"" | b"\n" | b"\r\n")) => Ok(body),
            _ => Err(RecordingError {
                line: self.number + 1,
                expected: format!("a body of {length} bytes, as Content-Length says"),
            }),
        }
    }

    fn error(&self, expected: &str) -> RecordingError {
        RecordingError { line: self.number, expected: expected.to_owned() }
    }
}

fn request(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_whole = words.next().is_none()
        && is_token(method)
        && target.starts_with('/')
        && version.starts_with("HTTP/1.");
    is_whole.then_some((method, target))
}

fn header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    is_token(name).then_some((name, value.trim_matches([' ', '\t'])))
}

fn is_length(name: &str) -> bool {
    name.eq_ignore_ascii_case("Content-Length")
}

/// RFC 9110, §5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests;

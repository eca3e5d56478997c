//! A recorded request as a raw `.http` file: the received bytes, readable by a person.
//!
//! Notes about its origin, then the request as HTTP/1.1 writes it:
//!
//! ```text
//! # a status callback, from Twilio's documentation
//! POST /twilio/status?x=1 HTTP/1.1
//! Content-Type: application/x-www-form-urlencoded
//!
//! MessageSid=SM…&MessageStatus=delivered
//! ```
//!
//! Under another URL and key its own signature is invalid: [`Recording::signed`] makes a fresh one. Deliberately absent:
//! folded header lines, chunked bodies, anything but UTF-8 in the head.

mod multipart;
pub mod rotating_dir;

use crate::twilio::form;
use crate::twilio::signature::{Content, SigningKey, sign, with_body_hash};

const SIGNATURE: &str = "X-Twilio-Signature";
const FORM: &str = "application/x-www-form-urlencoded";
const REQUEST_LINE: &str = "a request line such as `POST /path HTTP/1.1`";

/// The note with the reason of a rejection.
pub const REFUSED_NOTE: &str = "refused";
/// The note with the time of the rejection.
pub const AT_NOTE: &str = "at";
/// The note instead of a body: its SHA-256 in hexadecimal, and its length.
pub const BODY_HASH_NOTE: &str = "body sha256";
/// The note of a request with hashed values, because nothing could be verified with them.
pub const HASHED_NOTE: &str = "values hashed";
/// The note of a request without a route: the nearest route.
pub const NEAREST_NOTE: &str = "nearest route";
/// The note instead of a malformed signature: its number of characters.
pub const SIGNATURE_LENGTH_NOTE: &str = "signature";

/// One request, with notes about its origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// The `#` lines before the request, each without its `# `. No line breaks.
    pub notes: Vec<String>,
    pub method: String,
    /// Path and query, as on the request line.
    pub target: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The first line of a `.http` file that is not as expected. It may be personal, and is not repeated.
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
    /// [`RecordingError`] with the first line that is not as expected.
    pub fn parse(file: &[u8]) -> Result<Self, RecordingError> {
        let mut lines = Lines { rest: file, number: 0 };
        let mut recording = Self::default();
        let (mut line, _) = lines.next(REQUEST_LINE)?;
        while let Some(note) = line.strip_prefix('#') {
            recording.notes.push(note.strip_prefix(' ').unwrap_or(note).to_owned());
            (line, _) = lines.next(REQUEST_LINE)?;
        }
        let (method, target) = request(line).ok_or_else(|| lines.error(REQUEST_LINE))?;
        (recording.method, recording.target) = (method.to_owned(), target.to_owned());
        let mut line_break = "\n";
        let mut length: Option<usize> = None;
        while !lines.rest.is_empty() {
            let (line, ending) = lines.next("a header")?;
            if line.is_empty() {
                line_break = ending;
                break;
            }
            let (name, value) = header(line)
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

    /// Writes the `.http` file that [`Self::parse`] reads. A `Content-Length` is corrected.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for note in &self.notes {
            lines.push(if note.is_empty() { "#".to_owned() } else { format!("# {note}") });
        }
        lines.push(format!("{} {} HTTP/1.1", self.method, self.target));
        let length = self.body.len().to_string();
        for (name, value) in &self.headers {
            let value = if is_length(name) { &length } else { value };
            lines.push(format!("{name}: {value}").trim_end_matches(' ').to_owned());
        }
        let mut file = (lines.join("\n") + "\n\n").into_bytes();
        if !self.body.is_empty() {
            file.extend_from_slice(&self.body);
            file.push(b'\n');
        }
        file
    }

    /// The first header of that name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All headers of that name, in whatever case.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter();
        headers.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The text of a note such as `# name: text`.
    pub fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes.find_map(|note| note.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Whether the body is a form, by its `Content-Type`.
    pub fn is_form(&self) -> bool {
        let media_type = self.header("Content-Type").and_then(|value| value.split(';').next());
        media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(FORM))
    }

    /// The fields of a form that was sent as `multipart/form-data`.
    pub fn multipart_fields(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        multipart::fields(self.header("Content-Type")?, &self.body)
    }

    /// A copy with a fresh signature in place of any old one. `base` is an origin with or without a path prefix, and
    /// has no trailing slash.
    ///
    /// Forms are signed by their parameters. For another body this sets `bodySHA256` in the target. A GET, or a request
    /// without body and `Content-Type`, is signed by its URL alone.
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
    number: usize,
}

impl<'a> Lines<'a> {
    /// The next line, and its line break.
    fn next(&mut self, expected: &str) -> Result<(&'a str, &'static str), RecordingError> {
        self.number += 1;
        if self.rest.is_empty() {
            return Err(self.error(expected));
        }
        let mut halves = self.rest.splitn(2, |byte| *byte == b'\n');
        let line = halves.next().unwrap_or_default();
        self.rest = halves.next().unwrap_or_default();
        let text = std::str::from_utf8(line).map_err(|_| self.error("UTF-8 text"))?;
        let (text, ending) = text.strip_suffix('\r').map_or((text, "\n"), |text| (text, "\r\n"));
        // Written again at the end of a line, it would be read as part of the line break (RFC 9112, section 2.2).
        if text.contains('\r') {
            return Err(self.error("no carriage return but before a line feed"));
        }
        Ok((text, ending))
    }

    /// The body after the head: exactly so long, or the rest less one final line break.
    fn body(&self, length: Option<usize>, line_break: &str) -> Result<&'a [u8], RecordingError> {
        let Some(length) = length else {
            let trimmed = self.rest.strip_suffix(line_break.as_bytes());
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

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests;

//! Relative URLs in an app's `TwiML`, made absolute.
//!
//! Twilio resolves them against the URL that it requested: for a forwarded webhook that is Heardback's, where the app has
//! no page. Only these URLs change. A document that is not understood is left as it is.

use std::borrow::Cow;

use crate::twilio::twiml::escaped;

/// Attributes whose value is a URL.
const ATTRIBUTES: [&[u8]; 14] = [
    b"action",
    b"url",
    b"statusCallback",
    b"recordingStatusCallback",
    b"waitUrl",
    b"transcribeCallback",
    b"partialResultCallback",
    b"referUrl",
    b"amdStatusCallback",
    b"statusCallbackUrl",
    b"callbackUrl",
    b"eventCallbackUrl",
    b"fallbackUrl",
    b"holdUrl",
];
/// Elements whose text is a URL.
const ELEMENTS: [&[u8]; 3] = [b"Redirect", b"Play", b"Media"];

/// The URL of the app's document.
#[derive(Debug, Clone, Copy)]
pub struct DocumentUrl<'a> {
    /// `https://host`, perhaps with user name, password and port.
    pub origin: &'a str,
    /// The path; begins with `/`.
    pub path: &'a str,
}

/// The document with absolute URLs. Borrowed if it has no relative one.
pub fn with_absolute_urls<'a>(document: &'a [u8], base: DocumentUrl<'_>) -> Cow<'a, [u8]> {
    let mut edited = Edited { rest: document, out: Vec::new(), has_changed: false };
    match edited.document(base) {
        Some(()) if edited.has_changed => Cow::Owned(edited.out),
        Some(()) | None => Cow::Borrowed(document),
    }
}

/// A document that is copied piece by piece.
struct Edited<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    has_changed: bool,
}

impl<'a> Edited<'a> {
    /// `None`: the document is not well formed.
    fn document(&mut self, base: DocumentUrl<'_>) -> Option<()> {
        while let Some(at) = self.rest.iter().position(|byte| *byte == b'<') {
            self.copy(at)?;
            match self.rest {
                [b'<', b'!', b'-', b'-', ..] => self.copy_past(b"-->")?,
                [b'<', b'!', b'[', ..] => self.copy_past(b"]]>")?,
                [b'<', b'?', ..] => self.copy_past(b"?>")?,
                [b'<', b'!' | b'/', ..] => self.copy_past(b">")?,
                _ => self.start_tag(base)?,
            }
        }
        self.copy(self.rest.len())
    }

    /// Copies a start tag, and the text after it if that is a URL.
    fn start_tag(&mut self, base: DocumentUrl<'_>) -> Option<()> {
        self.copy(1)?;
        let name = self.name()?;
        loop {
            self.copy(self.blanks())?;
            match self.rest {
                [b'/', b'>', ..] => return self.copy(2),
                [b'>', ..] => break,
                _ => {}
            }
            let attribute = self.name()?;
            self.copy(self.blanks())?;
            self.rest.starts_with(b"=").then_some(())?;
            self.copy(1)?;
            self.copy(self.blanks())?;
            let quote = *self.rest.first().filter(|byte| matches!(**byte, b'"' | b'\''))?;
            self.copy(1)?;
            let end = self.rest.iter().position(|byte| *byte == quote)?;
            if ATTRIBUTES.contains(&attribute) {
                self.url(end, base)?;
            } else {
                self.copy(end)?;
            }
            self.copy(1)?;
        }
        self.copy(1)?;
        if ELEMENTS.contains(&name) {
            let end = self.rest.iter().position(|byte| *byte == b'<')?;
            self.url(end, base)?;
        }
        Some(())
    }

    /// Copies the next bytes, which are a URL: a relative one becomes absolute.
    fn url(&mut self, length: usize, base: DocumentUrl<'_>) -> Option<()> {
        let url = self.rest.get(..length)?;
        let Some(absolute) = std::str::from_utf8(url).ok().and_then(|url| absolute(url, base))
        else {
            return self.copy(length);
        };
        self.out.extend_from_slice(absolute.as_bytes());
        self.rest = self.rest.get(length..)?;
        self.has_changed = true;
        Some(())
    }

    /// Copies a name, and returns it.
    fn name(&mut self) -> Option<&'a [u8]> {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(byte);
        let length = self.rest.iter().take_while(|byte| is_name(byte)).count();
        let name = self.rest.get(..length).filter(|name| !name.is_empty())?;
        self.copy(length)?;
        Some(name)
    }

    fn blanks(&self) -> usize {
        self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
    }

    fn copy(&mut self, length: usize) -> Option<()> {
        let (copied, rest) = self.rest.split_at_checked(length)?;
        self.out.extend_from_slice(copied);
        self.rest = rest;
        Some(())
    }

    fn copy_past(&mut self, mark: &[u8]) -> Option<()> {
        let at = self.rest.windows(mark.len()).position(|window| window == mark)?;
        self.copy(at + mark.len())
    }
}

/// The absolute form of a URL in XML. `None`: it is absolute, or empty, which means the document itself.
fn absolute(url: &str, base: DocumentUrl<'_>) -> Option<String> {
    let DocumentUrl { origin, path } = base;
    let url = url.trim();
    if url.is_empty() || url.starts_with('#') || has_scheme(url) {
        return None;
    }
    let origin = escaped(origin);
    if url.starts_with("//") {
        return Some(format!("https:{url}"));
    }
    if url.starts_with('?') {
        return Some(format!("{origin}{}{url}", escaped(path)));
    }
    let (target, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let joined = if target.starts_with('/') {
        target.to_owned()
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{}/{target}", escaped(folder))
    };
    Some(format!("{origin}{}{query}", without_dots(&joined)))
}

fn has_scheme(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// A path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut all = path.split('/').skip(1).peekable();
    while let Some(segment) = all.next() {
        let is_last = all.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: DocumentUrl<'_> =
        DocumentUrl { origin: "https://app.example.com", path: "/twilio/voice" };

    fn edited(document: &str) -> String {
        String::from_utf8(with_absolute_urls(document.as_bytes(), BASE).into_owned())
            .expect("UTF-8")
    }

    #[test]
    fn relative_urls_lead_to_the_app_as_they_did_without_heardback() {
        let app = "https://app.example.com";
        for (url, expected) in [
            ("/next", format!("{app}/next")),
            ("next", format!("{app}/twilio/next")),
            (" next?a=1&amp;b=2 ", format!("{app}/twilio/next?a=1&amp;b=2")),
            ("./next", format!("{app}/twilio/next")),
            ("../next/./x/..", format!("{app}/next/")),
            ("../../../x", format!("{app}/x")),
            ("?step=2", format!("{app}/twilio/voice?step=2")),
            ("/a?b=../c", format!("{app}/a?b=../c")),
            ("//cdn.example.com/a.mp3", "https://cdn.example.com/a.mp3".to_owned()),
        ] {
            let text =
                edited(&format!("<Response><Gather action=\"{url}\" numDigits='1'/></Response>"));
            let whole =
                format!("<Response><Gather action=\"{expected}\" numDigits='1'/></Response>");
            assert_eq!(text, whole, "{url}");
            let text =
                edited(&format!("<Response><Redirect method='GET'>{url}</Redirect></Response>"));
            assert_eq!(
                text,
                format!("<Response><Redirect method='GET'>{expected}</Redirect></Response>")
            );
        }
    }

    #[test]
    fn all_else_stays_byte_for_byte() {
        for document in [
            "",
            "<Response/>",
            "<?xml version=\"1.0\"?><Response><Say>/next</Say></Response>",
            "<Response><Gather action=\"https://other.example.com/x\" name=\"/next\"/></Response>",
            "<Response><Gather action=\"\"><Say>a &lt; b</Say></Gather></Response>",
            "<Response><Redirect/><Redirect></Redirect></Response>",
            "<Response><!-- <Redirect>/x</Redirect> --></Response>",
            "<Response><Say><![CDATA[<Redirect>/x</Redirect>]]></Say></Response>",
            "<Response><Dial action='tel:+15551234567'>+15557654321</Dial></Response>",
            "<Response><Number>/x</Number></Response>",
            // Not well formed: Twilio reports its own error.
            "<Response><Redirect>/x",
            "<Response><Gather action=/x></Response>",
            "<Response><Gather action=\"/x></Response>",
            "<Response><Redirect>/x</Redirect><",
            "a < b > <Redirect>/x</Redirect>",
        ] {
            assert_eq!(edited(document), document);
            assert!(matches!(with_absolute_urls(document.as_bytes(), BASE), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn urls_of_verbs_and_nouns_are_found_among_other_attributes() {
        let document = "<Response>\n <Dial action = '/done' record=\"true\"><Number url=\"whisper\" \
                        statusCallback='/s'>+1555</Number></Dial><Play loop=\"2\">../a.mp3</Play></Response>";
        let expected = "<Response>\n <Dial action = 'https://app.example.com/done' record=\"true\">\
                        <Number url=\"https://app.example.com/twilio/whisper\" \
                        statusCallback='https://app.example.com/s'>+1555</Number></Dial>\
                        <Play loop=\"2\">https://app.example.com/a.mp3</Play></Response>";
        assert_eq!(edited(document), expected);
        let base = DocumentUrl { origin: "https://u:p&w@h:1", path: "/a&b/c" };
        let edited = with_absolute_urls(b"<Redirect>x</Redirect>", base);
        assert_eq!(edited.as_ref(), b"<Redirect>https://u:p&amp;w@h:1/a&amp;b/x</Redirect>");
    }

    proptest! {
        #[test]
        fn no_document_breaks_it(document in "[<>/!?='\" \\-a-cRedirtPly\\[\\]]{0,80}") {
            let once = edited(&document);
            prop_assert_eq!(edited(&once), once.clone());
        }
    }
}

//! Forms and query strings: parses `a=1&b=2` into the exact bytes that the sender encoded.
//!
//! Twilio signs the decoded parameters, so no byte is lost, trimmed, reordered or repaired. A text is decoded at its
//! use, without heap memory until then. Deliberately absent: any check for UTF-8, which the user of a value makes.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr_iter, memchr2};
use smallvec::{Array, SmallVec};

/// The most parameters of one form or query. Twilio's largest callbacks have about a hundred: thirty fields, two for each of
/// ten media files, one for each SIP header of a call.
pub const MAX_PAIRS: usize = 512;

/// A name and its value.
pub type FormPair<'a> = (Text<'a>, Text<'a>);

/// The pairs of a body, in wire order. Twilio's largest webhooks have about thirty; longer forms use the heap.
pub type Pairs<'a> = SmallVec<[FormPair<'a>; 32]>;

/// A name or a value, as encoded in a body. Two are equal if their decoded bytes are.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    is_encoded: bool,
}

impl<'a> Text<'a> {
    /// The decoded bytes, borrowed if there is no escape.
    pub fn decoded(&self) -> Cow<'a, [u8]> {
        if !self.is_encoded {
            return Cow::Borrowed(self.bytes);
        }
        let mut out = Vec::with_capacity(self.bytes.len());
        out.extend(self.meant());
        Cow::Owned(out)
    }

    /// Appends the decoded bytes to `out`.
    pub(crate) fn append_to(&self, out: &mut SmallVec<impl Array<Item = u8>>) {
        if self.is_encoded {
            out.extend(self.meant());
        } else {
            out.extend_from_slice(self.bytes);
        }
    }

    /// Appends the decoded bytes to `out`.
    pub(crate) fn append_to_vec(&self, out: &mut Vec<u8>) {
        if self.is_encoded {
            out.extend(self.meant());
        } else {
            out.extend_from_slice(self.bytes);
        }
    }

    /// The first eight decoded bytes as a number with the same order.
    pub(crate) fn prefix(&self) -> u64 {
        if let (false, Some(first)) = (self.is_encoded, self.bytes.first_chunk()) {
            return u64::from_be_bytes(*first);
        }
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(self.meant()) {
            *to = from;
        }
        u64::from_be_bytes(first)
    }

    /// Its length before decoding, in bytes: the decoded text is never longer.
    pub(crate) fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The decoded bytes.
    fn meant(&self) -> impl Iterator<Item = u8> {
        let Self { bytes: mut rest, is_encoded } = *self;
        std::iter::from_fn(move || {
            let (&byte, tail) = rest.split_first()?;
            let (byte, tail) = match byte {
                b'+' if is_encoded => (b' ', tail),
                b'%' if is_encoded => unescaped(tail).unwrap_or((byte, tail)),
                _ => (byte, tail),
            };
            rest = tail;
            Some(byte)
        })
    }
}

/// A text that is decoded already.
impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, is_encoded: false }
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.is_encoded || other.is_encoded {
            self.meant().cmp(other.meant())
        } else {
            self.bytes.cmp(other.bytes)
        }
    }
}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Text<'_> {}

/// Only the length, because the text may be a phone number.
impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.bytes.len())
    }
}

/// Whether a body or a query has at most [`MAX_PAIRS`] parameters. Counts them without the heap, and stops at the limit: call
/// it on unauthenticated input before [`pairs`].
pub fn is_within_limit(text: &[u8]) -> bool {
    let mut from = 0;
    let ends = memchr_iter(b'&', text).chain([text.len()]);
    let segments = ends.map(|end| end - std::mem::replace(&mut from, end + 1));
    segments.filter(|length| *length > 0).take(MAX_PAIRS + 1).count() <= MAX_PAIRS
}

/// Parses an `application/x-www-form-urlencoded` body or a query string, in wire order.
///
/// `+` is a space, a `%` without two digits stands for itself, a name without `=` has an empty value, and the empty
/// text between two `&` is no pair (WHATWG URL standard, §5.1).
pub fn pairs(body: &[u8]) -> Pairs<'_> {
    split(body).collect()
}

/// The pairs of a body, one at a time.
pub(crate) fn split(body: &[u8]) -> impl Iterator<Item = FormPair<'_>> {
    let mut rest = Some(body);
    let segments = std::iter::from_fn(move || {
        let mut text = rest?;
        while let [b'&', after @ ..] = text {
            text = after;
        }
        let (segment, tail) = cut(b'&', text);
        rest = tail;
        (!segment.is_empty()).then_some(segment)
    });
    segments.map(|segment| {
        let (name, value) = cut(b'=', segment);
        // Most segments need no decoding, and one search is faster than two.
        let encoded = is_encoded(segment);
        let text = |bytes| Text { bytes, is_encoded: encoded && is_encoded(bytes) };
        (text(name), text(value.unwrap_or_default()))
    })
}

fn is_encoded(bytes: &[u8]) -> bool {
    memchr2(b'%', b'+', bytes).is_some()
}

/// The bytes before the first mark, and the bytes after it if there is one.
fn cut(mark: u8, bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(mark, bytes).map(|at| bytes.split_at(at)) {
        Some((before, [_, after @ ..])) => (before, Some(after)),
        Some((_, [])) | None => (bytes, None),
    }
}

/// The byte of the two hexadecimal digits after a `%`, and the bytes after them.
fn unescaped(tail: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = tail.split_first_chunk::<2>()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    Some((byte, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(body: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let pairs = pairs(body.as_bytes());
        pairs.iter().map(|(name, value)| (text(&name.decoded()), text(&value.decoded()))).collect()
    }

    #[test]
    fn odd_bodies_come_apart_as_a_browser_would_read_them() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("&&", &[]),
            ("a", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("=", &[("", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=1&&b=2&", &[("a", "1"), ("b", "2")]),
            ("b=2&a=1&b=1", &[("b", "2"), ("a", "1"), ("b", "1")]),
            ("a+b=%2B+%20", &[("a b", "+  ")]),
            ("a=100%&b=%zz&c=%4", &[("a", "100%"), ("b", "%zz"), ("c", "%4")]),
            ("a=%%34", &[("a", "%4")]),
            ("a=%F0%9f%91%8D;b", &[("a", "👍;b")]),
            ("a= x\r\n", &[("a", " x\r\n")]),
        ];
        for (body, expected) in cases {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(texts(body), expected, "{body}");
        }
    }

    #[test]
    fn the_number_of_parameters_is_limited() {
        for (text, count, expected) in [
            ("", 0, true),
            ("a&", MAX_PAIRS, true),
            ("a=%26&", MAX_PAIRS, true),
            ("&a", MAX_PAIRS + 1, false),
            ("a&&", MAX_PAIRS + 1, false),
            ("&", 1 << 20, true),
            ("a&", 1 << 19, false),
            ("abcdefgh", 1 << 17, true),
        ] {
            let text = text.repeat(count);
            assert_eq!(is_within_limit(text.as_bytes()), expected, "{count} of {text:.8}");
            assert_eq!(pairs(text.as_bytes()).len() <= MAX_PAIRS, expected);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept() {
        let pairs = pairs(b"a=%FF\xfe");
        assert_eq!(pairs[0].1.decoded().as_ref(), b"\xff\xfe");
    }

    #[test]
    fn a_text_without_escapes_is_borrowed() {
        let pairs = pairs(b"a=b");
        assert!(matches!(pairs[0].1.decoded(), Cow::Borrowed(b"b")));
        assert!(!pairs.spilled());
    }

    proptest! {
        #[test]
        fn any_text_comes_apart_as_serde_urlencoded_has_it(body in r"([a-c=&%+ 0-9A-F]|\PC){0,40}") {
            // serde_urlencoded replaces broken UTF-8, which we keep, so only valid UTF-8 is compared.
            prop_assume!(pairs(body.as_bytes()).iter().all(|(name, value)|
                std::str::from_utf8(&name.decoded()).is_ok()
                    && std::str::from_utf8(&value.decoded()).is_ok()));
            let theirs: Vec<(String, String)> = serde_urlencoded::from_str(&body).expect("infallible");
            prop_assert_eq!(texts(&body), theirs);
        }

        #[test]
        fn texts_sort_and_begin_as_their_decoded_bytes(one in "[a%+21 -]{0,12}", other in "[a%+21 -]{0,12}") {
            let text = |bytes| Text { bytes, is_encoded: is_encoded(bytes) };
            let (one, other) = (text(one.as_bytes()), text(other.as_bytes()));
            let (a, b) = (one.decoded(), other.decoded());
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one.meant().collect::<Vec<_>>(), a.to_vec());
            prop_assert_eq!(Text::from(a.as_ref()), one);
            if one.prefix() != other.prefix() {
                prop_assert_eq!(one.prefix().cmp(&other.prefix()), a.cmp(&b));
            }
        }

        #[test]
        fn an_encoded_form_is_decoded_to_its_pairs(sent in prop::collection::vec((".*", ".*"), 0..6)) {
            let body = serde_urlencoded::to_string(&sent).expect("encodes");
            prop_assert_eq!(texts(&body), sent);
        }
    }
}

//! Forms and query strings: `a=1&b=2` taken apart into exactly the bytes that its sender meant.
//!
//! Twilio signs the decoded parameters, so nothing may be lost, trimmed, re-ordered or repaired on
//! the way. Deliberately absent: any check for UTF-8, which is for whoever reads a value.

use std::borrow::Cow;

/// A decoded name and its decoded value. Borrowed from the body where nothing had to be decoded.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Takes an `application/x-www-form-urlencoded` body or a query string apart, in wire order.
///
/// `+` is a space, a `%` that starts no escape stands for itself, a name without `=` has an empty
/// value, and what is empty between two `&` is no pair at all (WHATWG URL standard, §5.1).
#[must_use]
pub fn pairs(body: &[u8]) -> Vec<Pair<'_>> {
    body.split(|byte| *byte == b'&')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let mut halves = segment.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next().unwrap_or_default();
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match byte {
            b'+' => (b' ', tail),
            b'%' => unescaped(tail).unwrap_or((byte, tail)),
            _ => (byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
    Cow::Owned(out)
}

/// The byte that the two hexadecimal digits after a `%` stand for, and what follows them.
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
        pairs(body.as_bytes()).iter().map(|(name, value)| (text(name), text(value))).collect()
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
    fn bytes_that_are_not_utf8_are_kept() {
        assert_eq!(pairs(b"a=%FF\xfe"), [(b"a".into(), b"\xff\xfe".into())]);
    }

    #[test]
    fn what_needs_no_decoding_is_borrowed() {
        assert!(matches!(pairs(b"a=b").as_slice(), [(Cow::Borrowed(_), Cow::Borrowed(_))]));
    }

    proptest! {
        #[test]
        fn any_text_comes_apart_as_serde_urlencoded_has_it(body in r"([a-c=&%+ 0-9A-F]|\PC){0,40}") {
            // serde_urlencoded replaces broken UTF-8, which we keep: only compare what is whole.
            prop_assume!(pairs(body.as_bytes()).iter().all(|(name, value)|
                std::str::from_utf8(name).is_ok() && std::str::from_utf8(value).is_ok()));
            let theirs: Vec<(String, String)> = serde_urlencoded::from_str(&body).expect("infallible");
            prop_assert_eq!(texts(&body), theirs);
        }

        #[test]
        fn what_was_encoded_comes_back(sent in prop::collection::vec((".*", ".*"), 0..6)) {
            let body = serde_urlencoded::to_string(&sent).expect("encodes");
            prop_assert_eq!(texts(&body), sent);
        }
    }
}

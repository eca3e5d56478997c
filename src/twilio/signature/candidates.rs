//! The spellings of the URL that Twilio may have signed.
//!
//! Twilio's back ends disagree about the port and about a few escapes in the query. Each spelling is made by cutting
//! the text: a URL parser normalises (lower-cases the host, drops `:443`, escapes `'`) and so breaks signatures, as
//! twilio-node's did (issues #1059 and #1183). All spellings name the same resource.

use std::borrow::Cow;
use std::ops::ControlFlow;

/// A URL in pieces: up to the host, the port with its colon, the path of the base, the path with its
/// `?`, the query.
pub(super) type UrlParts<'a> = [&'a str; 5];

/// The most spellings of one URL: nine of its query, each with two ports.
#[cfg(test)]
pub(super) const MAX_SPELLINGS: usize = 18;

/// Tries the spellings of the URLs that are each of `bases` and `rest`, until `test` breaks. A base ends after the
/// authority or within the path.
///
/// Each spelling is tried with all bases before the next one, the most likely first: `test` may break at its work
/// limit, and a request for the last base must not fail for unlikely spellings of the first. First come the URLs as
/// they stand, then without their port or with the scheme's default port. Then `'` is escaped or not, and for a GET
/// `@` and `:` too.
pub(super) fn find<'b, T>(
    bases: &(impl Iterator<Item = &'b str> + Clone),
    rest: &str,
    is_get: bool,
    mut test: impl FnMut(&UrlParts<'_>) -> ControlFlow<T>,
) -> ControlFlow<T> {
    let (path, query) = rest.split_at(rest.find('?').map_or(rest.len(), |mark| mark + 1));
    for query in spellings(query, is_get) {
        for is_other_port in [false, true] {
            for (head, port, other_port, prefix) in bases.clone().map(cut) {
                let port = if is_other_port { other_port } else { Some(port) };
                if let Some(port) = port {
                    test(&[head, port, prefix, path, &query])?;
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// A URL's scheme and authority, or nothing if it has none, and everything after that.
pub fn origin(url: &str) -> (&str, &str) {
    let origin_len = scheme(url).map_or(0, |(_, after)| {
        let authority_len = after.find(['/', '?', '#']).unwrap_or(after.len());
        url.len() - after.len() + authority_len
    });
    url.split_at(origin_len)
}

fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, after) = url.split_once(':')?;
    let after = after.strip_prefix("//")?;
    (!scheme.contains(['/', '?', '#'])).then_some((scheme, after))
}

/// The text before the port, the port (`:8443` or nothing), the alternative port, and the text after it.
fn cut(url: &str) -> (&str, &str, Option<&'static str>, &str) {
    let (origin, path) = origin(url);
    let Some((scheme, authority)) = scheme(origin) else {
        return (url, "", None, "");
    };
    // A colon in the userinfo or within an IPv6 literal's brackets announces no port.
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port_len = match host_and_port.rsplit_once(':') {
        Some((_, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.len() + 1,
        _ => 0,
    };
    let (head, port) = origin.split_at(origin.len() - port_len);
    let other = match port {
        "" if scheme.eq_ignore_ascii_case("https") => ":443",
        "" => ":80",
        _ => "",
    };
    (head, port, Some(other), path)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UrlSpelling {
    AsSent,
    Plain,
    Escaped,
}

const EVERY: &[UrlSpelling] = &[UrlSpelling::AsSent, UrlSpelling::Plain, UrlSpelling::Escaped];
const AS_SENT: &[UrlSpelling] = &[UrlSpelling::AsSent];

/// The spellings of a query. Some clients escape the apostrophe after the URL was signed, some before. On a GET, Twilio may
/// sign before it escapes `@` and `:` (twilio-node's pull request #621).
fn spellings(query: &str, is_get: bool) -> impl Iterator<Item = Cow<'_, str>> {
    let reserved = if is_get { EVERY } else { AS_SENT };
    EVERY.iter().flat_map(move |apostrophe| {
        reserved.iter().filter_map(move |reserved| respelled(query, *apostrophe, *reserved))
    })
}

/// The text with the apostrophe in one spelling, and `@` and `:` in another; `None` if either spelling changes nothing
/// and so was tried before. One pass over the text, which may be an attacker's.
fn respelled(text: &str, apostrophe: UrlSpelling, reserved: UrlSpelling) -> Option<Cow<'_, str>> {
    if apostrophe == UrlSpelling::AsSent && reserved == UrlSpelling::AsSent {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut apostrophes, mut others) = (0_usize, 0_usize);
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (spelling, changed, plain, escaped): (_, _, u8, &[u8]) = match rest {
            [b'\'', ..] | [b'%', b'2', b'7', ..] => (apostrophe, &mut apostrophes, b'\'', b"%27"),
            [b'@', ..] | [b'%', b'4', b'0', ..] => (reserved, &mut others, b'@', b"%40"),
            [b':', ..] | [b'%', b'3', b'A' | b'a', ..] => (reserved, &mut others, b':', b"%3A"),
            _ => {
                out.push(byte);
                rest = tail;
                continue;
            }
        };
        let was_escaped = byte == b'%';
        let (taken, after) = rest.split_at(if was_escaped { escaped.len() } else { 1 });
        match spelling {
            UrlSpelling::Plain if was_escaped => {
                out.push(plain);
                *changed += 1;
            }
            UrlSpelling::Escaped if !was_escaped => {
                out.extend_from_slice(escaped);
                *changed += 1;
            }
            UrlSpelling::AsSent | UrlSpelling::Plain | UrlSpelling::Escaped => {
                out.extend_from_slice(taken);
            }
        }
        rest = after;
    }
    let is_new = (apostrophe == UrlSpelling::AsSent || apostrophes > 0)
        && (reserved == UrlSpelling::AsSent || others > 0);
    // Only ASCII was replaced, so it is UTF-8 as before.
    is_new.then(|| String::from_utf8(out).ok()).flatten().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(url: &str, is_get: bool) -> Vec<String> {
        let with = |base: &str, rest: &str| {
            let mut seen = Vec::new();
            let _ = find(&[base].into_iter(), rest, is_get, |pieces| -> ControlFlow<()> {
                seen.push(pieces.concat());
                ControlFlow::Continue(())
            });
            seen
        };
        let (base, rest) = origin(url);
        let seen = with(base, rest);
        // Wherever the base ends in the path, it comes to the same.
        let (base, rest) = url.split_at(url.find('?').unwrap_or(url.len()));
        assert_eq!(with(base, rest), seen, "{base} and {rest}");
        seen
    }

    #[test]
    fn the_port_is_dropped_or_added_and_all_else_is_left_alone() {
        let cases = [
            ("https://h/p", "https://h:443/p"),
            ("http://h/p", "http://h:80/p"),
            ("HTTPS://Host/p", "HTTPS://Host:443/p"),
            ("https://h:1234/p?x=1:2", "https://h/p?x=1:2"),
            ("https://h", "https://h:443"),
            ("https://h?x=1", "https://h:443?x=1"),
            ("https://u:12@h/p", "https://u:12@h:443/p"),
            ("https://u:12@h:34/p", "https://u:12@h/p"),
            ("https://[2001:db8::1]/p", "https://[2001:db8::1]:443/p"),
            ("https://[2001:db8::1]:8443/p", "https://[2001:db8::1]/p"),
            ("https://h//a/../b?q=@", "https://h:443//a/../b?q=@"),
        ];
        for (url, other) in cases {
            assert_eq!(all(url, false), [url, other]);
        }
        for none in ["no url", "/p?u=https://h"] {
            assert_eq!(all(none, false), [none]);
        }
    }

    #[test]
    fn each_spelling_is_tried_with_all_bases_before_the_next() {
        let mut seen = Vec::new();
        let bases = ["https://a", "http://b:1/p"];
        let _ = find(&bases.into_iter(), "/x?'", false, |pieces| -> ControlFlow<()> {
            seen.push(pieces.concat());
            ControlFlow::Continue(())
        });
        let (as_sent, escaped) = (["'"; 4], ["%27"; 4]);
        let urls = ["https://a/x?", "http://b:1/p/x?", "https://a:443/x?", "http://b/p/x?"];
        let expected = urls.iter().cycle().zip(as_sent.into_iter().chain(escaped));
        let expected: Vec<String> = expected.map(|(url, query)| format!("{url}{query}")).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_apostrophe_in_the_query_is_tried_both_ways_but_not_in_the_path() {
        assert_eq!(
            all("http://h:1/it's?a='%27", false),
            [
                "http://h:1/it's?a='%27",
                "http://h/it's?a='%27",
                "http://h:1/it's?a=''",
                "http://h/it's?a=''",
                "http://h:1/it's?a=%27%27",
                "http://h/it's?a=%27%27",
            ]
        );
    }

    #[test]
    fn only_a_get_may_have_been_escaped_after_it_was_signed() {
        let url = "http://h:1/?a=%40%3a%3A&b=1%27";
        assert!(!all(url, false).iter().any(|url| url.contains('@')));
        let get = all(url, true);
        assert!(get.contains(&"http://h:1/?a=@::&b=1%27".to_owned()), "{get:?}");
        assert!(get.contains(&"http://h/?a=@::&b=1'".to_owned()), "{get:?}");
        assert!(all("http://h:1/?a=@:", true).contains(&"http://h/?a=%40%3A".to_owned()));
    }

    #[test]
    fn a_url_with_any_query_has_at_most_eighteen_spellings() {
        for query in ["'@:%27%40%3A%3a", "'@:%27%40%3A%3a".repeat(1000).as_str(), "%%2740%4%400%"] {
            let seen = all(&format!("http://h:1/?{query}"), true);
            assert!(seen.len() <= MAX_SPELLINGS, "{}", seen.len());
            let mut distinct = seen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), seen.len(), "none is tried twice: {query:.20}");
        }
        assert_eq!(all("http://h:1/?'@:%27%40%3A", true).len(), MAX_SPELLINGS);
    }
}

//! The ways in which Twilio may have written the URL that it signed.
//!
//! Twilio's back ends disagree about the port and about a few escapes in the query, so several
//! spellings of one URL are tried. Each is made by cutting the text, never by a URL parser: one that
//! normalises (lower-cases the host, drops `:443`, escapes `'`) breaks signatures, as twilio-node's
//! did for years (its issues #1059 and #1183). No spelling means anything else than the one given.

use std::borrow::Cow;

/// A URL in pieces: up to the host, the port with its colon, the path of the base, the path with its
/// `?`, the query.
pub(super) type Pieces<'a> = [&'a str; 5];

/// Tries the spellings of the URL that is `base` and `rest`, likeliest first, until `test` finds
/// something. A base ends after the authority or within the path.
///
/// First the URL as it stands, then with its port dropped or the scheme's default port added; only
/// then, if the query holds such characters, with `'` escaped or not, and for a GET `@` and `:` too.
pub(super) fn find<T>(
    base: &str,
    rest: &str,
    is_get: bool,
    mut test: impl FnMut(&Pieces<'_>) -> Option<T>,
) -> Option<T> {
    let (head, port, other_port, prefix) = cut(base);
    let (path, query) = rest.split_at(rest.find('?').map_or(rest.len(), |mark| mark + 1));
    for query in spellings(query, is_get) {
        let found = test(&[head, port, prefix, path, &query])
            .or_else(|| other_port.and_then(|port| test(&[head, port, prefix, path, &query])));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A URL's scheme and authority, or nothing if it has none, and everything after that.
#[must_use]
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

/// Everything before the port, the port (`:8443` or nothing), what else could stand in its place,
/// and everything after it.
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

#[derive(Clone, Copy)]
enum Spelling {
    AsSent,
    Plain,
    Escaped,
}

const EVERY: &[Spelling] = &[Spelling::AsSent, Spelling::Plain, Spelling::Escaped];
const AS_SENT: &[Spelling] = &[Spelling::AsSent];

/// Some clients escape the apostrophe after the URL was signed, some before.
const APOSTROPHE: &[(&str, &str)] = &[("'", "%27")];
/// On a GET, Twilio may sign before it escapes these (twilio-node's pull request #621).
const RESERVED: &[(&str, &str)] = &[("@", "%40"), (":", "%3A"), (":", "%3a")];

fn spellings(query: &str, is_get: bool) -> impl Iterator<Item = Cow<'_, str>> {
    let reserved = if is_get { EVERY } else { AS_SENT };
    EVERY.iter().flat_map(move |apostrophes| {
        reserved.iter().filter_map(move |reserved| {
            let once = respelled(query, *apostrophes, APOSTROPHE)?;
            Some(match respelled(&once, *reserved, RESERVED)? {
                Cow::Borrowed(_) => once,
                Cow::Owned(twice) => Cow::Owned(twice),
            })
        })
    })
}

/// The text in that spelling; `None` if that changes nothing and so has been tried already.
fn respelled<'a>(
    text: &'a str,
    spelling: Spelling,
    escapes: &[(&str, &str)],
) -> Option<Cow<'a, str>> {
    let replace = |mut text: Cow<'a, str>, from: &str, to: &str| {
        if text.contains(from) {
            text = Cow::Owned(text.replace(from, to));
        }
        text
    };
    let start = Cow::Borrowed(text);
    let end = match spelling {
        Spelling::AsSent => return Some(start),
        Spelling::Plain => escapes.iter().fold(start, |text, (to, from)| replace(text, from, to)),
        Spelling::Escaped => escapes.iter().fold(start, |text, (from, to)| replace(text, from, to)),
    };
    matches!(end, Cow::Owned(_)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(url: &str, is_get: bool) -> Vec<String> {
        let with = |base: &str, rest: &str| {
            let mut seen = Vec::new();
            let _ = find(base, rest, is_get, |pieces| -> Option<()> {
                seen.push(pieces.concat());
                None
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
}

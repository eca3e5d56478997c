//! The headers that go along: from Twilio to the app, and from the app to Twilio.
//!
//! Both lists name what passes. Headers are not signed, so a client that repeats a signed request could add any other one,
//! such as `X-Forwarded-For`.

/// The most bytes of header lines that go along in one direction.
pub(super) const MAX_HEADERS: usize = 16 << 10;

/// Headers of Twilio's that apps read. All names that begin with `X-Twilio-` or `I-Twilio-` go along, too.
const TWILIOS: [&str; 7] = [
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "cookie",
    "user-agent",
    "x-home-region",
];
const PREFIXES: [&str; 2] = ["x-twilio-", "i-twilio-"];
/// Heardback signs anew.
pub(super) const SIGNATURE: &str = "x-twilio-signature";

/// Whether a header of Twilio's request goes along to the app.
pub fn goes_along(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has_prefix = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    name != SIGNATURE && (has_prefix || TWILIOS.contains(&name.as_str()))
}

/// A cookie of the app's, for Twilio, which knows Heardback's host and paths only: without `Domain`, and for every path.
pub(super) fn cookie_for_twilio(cookie: &[u8]) -> Vec<u8> {
    let mut parts = cookie.split(|byte| *byte == b';');
    let mut kept: Vec<&[u8]> = parts.next().into_iter().collect();
    kept.extend(parts.filter(|part| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = name.trim_ascii();
        !name.eq_ignore_ascii_case(b"domain") && !name.eq_ignore_ascii_case(b"path")
    }));
    kept.push(b" Path=/");
    kept.join(&b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_apps_read_go_along_and_no_others() {
        for name in [
            "Content-Type",
            "User-Agent",
            "I-Twilio-Idempotency-Token",
            "X-Home-Region",
            "X-Twilio-Webhooks-Signature-Settings",
            "X-Twilio-VoiceSDK",
            "Cookie",
            "Authorization",
        ] {
            assert!(goes_along(name), "{name}");
        }
        for name in [
            "X-Twilio-Signature",
            "Host",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Content-Length",
            "Expect",
            "Accept-Encoding",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "Forwarded",
            "Fly-Client-IP",
            "X-Real-IP",
            "Via",
            "X-Admin",
            "",
        ] {
            assert!(!goes_along(name), "{name}");
        }
    }

    #[test]
    fn a_cookie_is_bound_to_no_host_and_no_path_of_the_app() {
        for (cookie, expected) in [
            ("a=1", "a=1; Path=/"),
            ("a=1; Domain=app.example.com; Path=/sms; Secure", "a=1; Secure; Path=/"),
            ("a=path=x;PATH=/x;HttpOnly ;domain=x", "a=path=x;HttpOnly ; Path=/"),
            ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"),
            ("", "; Path=/"),
        ] {
            let changed = cookie_for_twilio(cookie.as_bytes());
            assert_eq!(String::from_utf8(changed).expect("ASCII"), expected, "{cookie}");
        }
    }
}

//! `Retry-After` (RFC 9110 §10.2.3): whole seconds, or an HTTP date.
//!
//! Deliberately absent: a limit, which `domain::retry` has.

use std::time::{Duration, SystemTime};

/// The wait from `now`: zero for a date that is over, `None` for a value that is neither a number nor a date.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a u64.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(date: &str) -> SystemTime {
        httpdate::parse_http_date(date).expect("a date")
    }

    #[test]
    fn it_is_seconds_or_a_date() {
        let now = at("Fri, 06 Nov 2026 08:49:37 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, expected) in [
            ("120", seconds(120)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Fri, 06 Nov 2026 08:51:37 GMT", seconds(120)),
            ("Friday, 06-Nov-26 08:51:37 GMT", seconds(120)),
            ("Fri, 06 Nov 2026 08:00:00 GMT", seconds(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse(value, now), expected, "{value}");
        }
    }
}

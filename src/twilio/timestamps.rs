//! Timestamps as programs write them: RFC 3339, RFC 2822, and the notations of `date_created` in the JSON of Twilio's
//! helper libraries for Node, Python, PHP, Ruby, C#, Java and Go.
//!
//! A time without an offset is rejected. So is the zero value of a type ("0001-01-01", the Unix epoch), which programs
//! write for a time that was never set.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

use crate::domain::matching::later;
use crate::domain::timestamp_serde::to_millisecond;

/// Twilio was founded in 2008, so no message is older. The usual zero values are years 1, 1601, 1899, 1900, 1970, 1980
/// and 2001.
const FIRST_YEAR: i16 = 2008;
/// A maximum value such as .NET's `DateTime.MaxValue` is rejected too.
const LAST_YEAR: i16 = 2100;

/// Parses a time, truncated to milliseconds.
///
/// # Errors
/// The expected notation, for the sender.
pub fn parse(text: &str) -> Result<Timestamp, &'static str> {
    let text = text.trim();
    let read = text
        .parse()
        .ok()
        .or_else(|| Some(rfc2822::parse(text).ok()?.timestamp()))
        .or_else(|| with_zone_name(text))
        .or_else(|| javascript_date(text))
        .or_else(|| unix_time(text));
    let at =
        read.ok_or("expected RFC 3339 with its offset, such as 2026-11-23T10:02:11Z, or RFC 2822")?;
    if is_real(at) { Ok(to_millisecond(at)) } else { Err("expected a time from 2008 to 2099") }
}

/// Parses Twilio's `date_created`. Twilio cuts it to whole seconds, so the message may be younger: a whole second is rounded
/// up to its last millisecond.
///
/// # Errors
/// As [`parse`].
pub fn parse_created(text: &str) -> Result<Timestamp, &'static str> {
    let at = parse(text)?;
    let is_whole_second = at.subsec_nanosecond() == 0;
    Ok(if is_whole_second { later(at, Duration::from_millis(999)) } else { at })
}

fn is_real(at: Timestamp) -> bool {
    let begin = |year| date(year, 1, 1).to_zoned(TimeZone::UTC).map(|first| first.timestamp());
    begin(FIRST_YEAR).is_ok_and(|first| at >= first) && begin(LAST_YEAR).is_ok_and(|end| at < end)
}

/// Ruby's `2026-11-23 10:02:11 UTC` and `… +0000`, Go's `… +0000 UTC`, PHP's `… Z`.
fn with_zone_name(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let (day, time) = (words.next()?, words.next()?);
    let offset = match (words.next()?, words.next(), words.next()) {
        ("UTC" | "GMT" | "Z", None, None) => "Z",
        (offset, None | Some("UTC" | "GMT"), None) => offset,
        _ => return None,
    };
    format!("{day}T{time}{offset}").parse().ok()
}

/// `Mon Nov 23 2026 10:02:11 GMT+0000 (Coordinated Universal Time)`: `Date.prototype.toString`.
fn javascript_date(text: &str) -> Option<Timestamp> {
    let text = text.split(" (").next().unwrap_or_default();
    strtime::parse("%a %b %d %Y %H:%M:%S GMT%z", text).ok()?.to_timestamp().ok()
}

/// Seconds (ten digits) or milliseconds (thirteen digits) since 1970; a fraction of a second may follow.
fn unix_time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => {
            let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
            Timestamp::from_millisecond(number * 1_000 + millis.parse::<i64>().ok()?).ok()
        }
        13 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_twilios_libraries_is_parsed() {
        let at: Timestamp = "2026-11-23T10:02:11Z".parse().expect("a time");
        for text in [
            "2026-11-23T10:02:11Z",
            "2026-11-23t10:02:11z",
            "2026-11-23T10:02:11.000Z",
            "2026-11-23T11:02:11+01:00",
            "2026-11-23T11:02:11+0100",
            "2026-11-23 10:02:11+00:00",
            "2026-11-23T10:02:11Z[UTC]",
            "2026-11-23T10:02:11+00:00[UTC]",
            "Mon, 23 Nov 2026 10:02:11 +0000",
            "Mon, 23 Nov 2026 10:02:11 GMT",
            "2026-11-23 10:02:11 UTC",
            "2026-11-23 11:02:11 +0100",
            "2026-11-23 10:02:11 +0000 UTC",
            "2026-11-23 10:02:11.000000 +00:00",
            "2026-11-23 10:02:11.000000 Z",
            "Mon Nov 23 2026 11:02:11 GMT+0100 (Central European Standard Time)",
            "1795428131",
            "1795428131.000000000",
            "1795428131000",
            " 2026-11-23T10:02:11Z ",
        ] {
            assert_eq!(parse(text), Ok(at), "{text}");
        }
        assert_eq!(parse("1795428131.25").map(Timestamp::subsec_millisecond), Ok(250));
    }

    #[test]
    fn a_time_without_its_offset_is_rejected() {
        for text in [
            "",
            "yesterday",
            "undefined",
            "2026-11-23",
            "2026-11-23T10:02:11",
            "2026-11-23 10:02:11",
            "2026-11-23 10:02:11 Europe/Berlin",
            "23.11.2026 10:02",
            "20261123100211",
            "179542813",
            "1795428131.",
            ".5",
            "Infinity",
        ] {
            assert!(parse(text).is_err_and(|why| why.starts_with("expected RFC 3339")), "{text}");
        }
    }

    #[test]
    fn the_zero_or_maximum_value_of_a_type_is_rejected() {
        for text in [
            "0001-01-01T00:00:00Z",
            "0001-01-01 00:00:00 +0000 UTC",
            "1601-01-01T00:00:00Z",
            "1899-12-30T00:00:00Z",
            "1900-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "Thu, 01 Jan 1970 00:00:00 +0000",
            "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)",
            "1980-01-01T00:00:00Z",
            "2001-01-01T00:00:00Z",
            "0000000000",
            "0000000000000",
            "2106-02-07T06:28:15Z",
            "9999-12-29T23:59:59.9999999Z",
        ] {
            assert!(
                parse(text).is_err_and(|why| why.starts_with("expected a time from")),
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_creation_time_in_whole_seconds_is_rounded_up() {
        let up = |text| parse_created(text).expect(text).subsec_millisecond();
        assert_eq!(up("Mon, 23 Nov 2026 10:02:11 +0000"), 999);
        assert_eq!(up("2026-11-23T10:02:11.000Z"), 999);
        assert_eq!(up("2026-11-23T10:02:11.250Z"), 250);
    }
}

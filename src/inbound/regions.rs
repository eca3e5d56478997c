//! Compares `X-Home-Region` with the configured regions when a signature does not match, and logs a difference.
//!
//! Each of Twilio's regions has its own auth tokens. The header is not signed, so it changes no answer. Its value is
//! validated, and each region is logged once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::domain::matching::later;

const HEADER: &str = "X-Home-Region";
/// The longest name of a region, such as `us1`.
const MAX_REGION: usize = 8;
/// The shortest time between two lines about one region.
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// The most regions that are logged within [`LOG_INTERVAL`]. Twilio has nine; an unauthenticated client can invent more.
const MAX_LOGGED: usize = 4;

/// Regions that were logged, each with the end of its quiet time.
#[derive(Debug, Default)]
pub struct HomeRegions {
    logged: Mutex<Vec<(String, Timestamp)>>,
}

impl HomeRegions {
    /// Logs a request whose signature did not match, if it names another region. `configured` gives the regions of the
    /// keys that were tried.
    pub(super) fn record_mismatch<'a>(
        &self,
        request: &HttpRequest,
        configured: impl FnOnce() -> Option<Vec<&'a str>>,
        now: Timestamp,
    ) {
        let header = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let Some(region) = header.and_then(region_name) else { return };
        let Some(mut configured) = configured() else { return };
        if configured.contains(&region) || !self.is_due(region, now) {
            return;
        }
        configured.sort_unstable();
        configured.dedup();
        let configured = configured.join(", ");
        tracing::warn!(
            home_region = region,
            configured,
            "signature does not match, and the request names region {region}, not {configured}: each region has its \
             own auth token; configure the token of {region}"
        );
    }

    fn is_due(&self, region: &str, now: Timestamp) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|(_, until)| *until > now);
        if logged.len() >= MAX_LOGGED || logged.iter().any(|(known, _)| known == region) {
            return false;
        }
        logged.push((region.to_owned(), later(now, LOG_INTERVAL)));
        true
    }
}

/// The text, if it is a possible name of a region: two letters or more, then digits.
fn region_name(text: &str) -> Option<&str> {
    let letters = text.bytes().take_while(u8::is_ascii_lowercase).count();
    let digits = text.bytes().skip(letters).all(|byte| byte.is_ascii_digit());
    let fits = letters >= 2 && letters < text.len() && digits && text.len() <= MAX_REGION;
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn only_two_letters_or_more_and_then_digits_name_a_region() {
        for good in ["us1", "ie1", "au12"] {
            assert_eq!(region_name(good), Some(good));
        }
        for bad in ["", "1", "us", "u1", "US1", "us1\u{1b}[31m", "us1 forged line", "abcdefgh1"] {
            assert_eq!(region_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_region_is_logged_once_a_minute_and_invented_ones_cannot_fill_the_log() {
        let regions = HomeRegions::default();
        assert!(regions.is_due("ie1", at(0)));
        assert!(!regions.is_due("ie1", at(59)));
        for invented in ["aa1", "ab1", "ac1"] {
            assert!(regions.is_due(invented, at(1)));
        }
        assert!(!regions.is_due("ad1", at(2)));
        assert!(regions.is_due("ie1", at(60)));
    }
}

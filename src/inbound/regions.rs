//! `X-Home-Region`: a hint at the token of the wrong region, said in the log and nowhere else.
//!
//! Twilio's regions have their own auth tokens, and each webhook says which region it comes from. The
//! header is not signed, so it changes no answer; a stranger may write it, so what it says is checked,
//! and a region is named once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::domain::matching::later;

const HEADER: &str = "X-Home-Region";
/// Regions are called `us1` or `ie1`; nothing of this kind is longer.
const MAX_REGION: usize = 8;
/// How long a region that was named is not named again.
const REST: Duration = Duration::from_mins(1);
/// So many regions are named within that time. There are nine, and strangers could make up more.
const MAX_NAMED: usize = 4;

/// Which regions were named, and until when they are not named again.
#[derive(Debug, Default)]
pub struct HomeRegions {
    named: Mutex<Vec<(String, Timestamp)>>,
}

impl HomeRegions {
    /// A signature did not match. `ours` are the regions of the keys that were tried.
    pub(super) fn mismatched<'a>(
        &self,
        request: &HttpRequest,
        ours: impl FnOnce() -> Option<Vec<&'a str>>,
        now: Timestamp,
    ) {
        let header = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let Some(theirs) = header.and_then(region) else { return };
        let Some(ours) = ours() else { return };
        if ours.contains(&theirs) || !self.is_to_be_named(theirs, now) {
            return;
        }
        let mut ours = ours;
        ours.sort_unstable();
        ours.dedup();
        let configured = ours.join(", ");
        tracing::warn!(
            home_region = theirs,
            configured,
            "a signature does not match, and the request says that it comes from region {theirs}, not \
             {configured}: each region has its own auth token. Is it the token of the right region?"
        );
    }

    fn is_to_be_named(&self, region: &str, now: Timestamp) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|(_, until)| *until > now);
        if named.len() >= MAX_NAMED || named.iter().any(|(known, _)| known == region) {
            return false;
        }
        named.push((region.to_owned(), later(now, REST)));
        true
    }
}

/// Two letters or more, then digits: nothing else is a region's name, nor fit for a log.
fn region(text: &str) -> Option<&str> {
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
    fn only_what_looks_like_a_region_is_taken_for_one() {
        for good in ["us1", "ie1", "au12"] {
            assert_eq!(region(good), Some(good));
        }
        for bad in ["", "1", "us", "u1", "US1", "us1\u{1b}[31m", "us1 forged line", "abcdefgh1"] {
            assert_eq!(region(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_region_is_named_once_a_minute_and_strangers_cannot_fill_the_log_with_made_up_ones() {
        let regions = HomeRegions::default();
        assert!(regions.is_to_be_named("ie1", at(0)));
        assert!(!regions.is_to_be_named("ie1", at(59)));
        for made_up in ["aa1", "ab1", "ac1"] {
            assert!(regions.is_to_be_named(made_up, at(1)));
        }
        assert!(!regions.is_to_be_named("ad1", at(2)));
        assert!(regions.is_to_be_named("ie1", at(60)));
    }
}

//! Formats of times, counts and shares on the page.

use jiff::Timestamp;
use maud::{Markup, html};

/// The time of day for today, otherwise the day and the time. All in UTC.
pub(super) fn timestamp(at: Timestamp, now: Timestamp) -> Markup {
    let day = |at: Timestamp| at.as_second().div_euclid(86_400);
    let short = if day(at) == day(now) { "%H:%M:%S" } else { "%-d %b %H:%M" };
    html! { time datetime=(at) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC")) { (at.strftime(short)) } }
}

/// `12,345`.
pub(super) fn count(count: u64) -> String {
    if count < 1_000 {
        return count.to_string();
    }
    format!("{},{:03}", self::count(count / 1_000), count % 1_000)
}

/// `83%`; a dash for the share of nothing.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

/// The share of a part in a whole.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub(super) fn part(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_a_share_of_nothing_is_a_dash() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((share(part(5, 6)), share(part(0, 0))), ("83%".to_owned(), "–".to_owned()));
    }
}

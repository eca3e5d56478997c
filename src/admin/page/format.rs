//! Times, counts and shares, as the page shows them. All times are UTC, and say so.

use jiff::Timestamp;
use maud::{Markup, html};

/// A moment: `10:02:11` today, else with its day.
pub(super) fn timestamp(at: Timestamp, now: Timestamp) -> Markup {
    let is_today = day(at) == day(now);
    let short = if is_today { "%H:%M:%S" } else { "%-d %b %H:%M" };
    html! { time datetime=(at) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC")) { (at.strftime(short)) } }
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(86_400)
}

/// `12,345`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `83%`; a dash where there is nothing to have a share of.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

/// So many of so many.
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

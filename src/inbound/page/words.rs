//! Times, spans, counts and shares, as the page tells them. All times are UTC, and say so.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::domain::message::Attempt;

/// A moment: `10:02:11` today, else with its day.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let is_today = day(at) == day(now);
    let short = if is_today { "%H:%M:%S" } else { "%-d %b %H:%M" };
    html! { time datetime=(at) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC")) { (at.strftime(short)) } }
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(86_400)
}

/// `3 min ago`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let past = now.duration_since(at);
    if past < SignedDuration::from_secs(10) {
        "just now".to_owned()
    } else {
        format!("{} ago", span(past))
    }
}

/// Roughly how long: two units at most would be more than anybody reads.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
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

/// How an attempt ended, in a line.
pub(super) fn attempt(attempt: &Attempt) -> String {
    let status =
        attempt.status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let code = attempt.code.map(|code| format!(", error {code}")).unwrap_or_default();
    let why =
        if attempt.message.is_empty() { String::new() } else { format!(": {}", attempt.message) };
    format!("{status}{code}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_spans_are_rough() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let spans =
            [-5, 59, 60, 7_199, 90_000, 180_000].map(|s| span(SignedDuration::from_secs(s)));
        assert_eq!(spans, ["0 s", "59 s", "1 min", "1 h", "25 h", "2 days"]);
        assert_eq!((share(part(5, 6)), share(part(0, 0))), ("83%".to_owned(), "–".to_owned()));
    }
}

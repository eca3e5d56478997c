//! Durations in texts for operators: one unit, rounded down.

use jiff::{SignedDuration, Timestamp};

/// Below this, an event counts as present: a live page does not count seconds.
const PRESENT: SignedDuration = SignedDuration::from_mins(1);

/// A duration in one unit: `12 s`, `3 min`, `25 h`, `4 days`. Negative durations count as zero.
pub fn rough(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A duration in one unit, to the nearest.
pub fn humanized(span: SignedDuration) -> String {
    let half = match span.as_secs() {
        ..60 => 0,
        60..3_600 => 30,
        3_600..172_800 => 1_800,
        _ => 43_200,
    };
    rough(span.saturating_add(SignedDuration::from_secs(half)))
}

/// The time since an event: `just now`, `3 min ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let past = now.duration_since(at);
    if past < PRESENT { "just now".to_owned() } else { format!("{} ago", rough(past)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_one_unit_and_is_never_negative() {
        let spans =
            [-5, 59, 60, 7_199, 90_000, 180_000].map(|s| rough(SignedDuration::from_secs(s)));
        assert_eq!(spans, ["0 s", "59 s", "1 min", "1 h", "25 h", "2 days"]);
        let spans =
            [59, 89, 90, 7_199, 86_399, 3_455_998].map(|s| humanized(SignedDuration::from_secs(s)));
        assert_eq!(spans, ["59 s", "1 min", "2 min", "2 h", "24 h", "40 days"]);
        let now = Timestamp::UNIX_EPOCH;
        let ages = [-60, 0, 59, 60].map(|s| ago(now - SignedDuration::from_secs(s), now));
        assert_eq!(ages, ["just now", "just now", "just now", "1 min ago"]);
    }
}

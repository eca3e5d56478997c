//! The timeline of one message: its events in order, for the operator.
//!
//! It is derived from the stored record. Of several attempts the record keeps only the last, and the count. A requeue
//! resets the count, and is known until the message is settled again. The log has all attempts.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::message::{LastAttempt, Message, State};
use crate::domain::redact::redacted;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEvent {
    pub at: Timestamp,
    /// A few words.
    pub what: String,
}

/// The events of a message so far.
pub fn of(message: &Message) -> Vec<TimelineEvent> {
    let mut life = vec![began(message)];
    let mut add = |at, what: String| life.push(TimelineEvent { at, what });
    if message.created_at_known && message.remembered_at != message.created_at {
        add(message.remembered_at, "first seen".to_owned());
    }
    if let Some(proof) = &message.proof {
        // The app chooses the label, so it is redacted.
        let how = redacted(&proof.label.replace('_', " "));
        if let Some(parked_at) = message.parked_at {
            add(parked_at, format!("{how}, and had to wait"));
        } else if proof.occurred_at != proof.confirmed_at {
            add(proof.occurred_at, how.clone());
        }
        add(proof.confirmed_at, format!("confirmed by {how} ({})", proof.basis.as_str()));
    }
    let ends = [State::Undelivered, State::Expired];
    if ends.contains(&message.state) {
        let code = message.error_code.map(|code| format!(", error {code}")).unwrap_or_default();
        add(message.since, format!("{}{code}", message.state.as_str()));
    }
    let requeued_at = message.requeued_at();
    if let Some(attempt) = &message.last_attempt {
        let is_before = requeued_at.is_some_and(|at| attempt.ended_at <= at);
        let state = match is_before {
            // The attempt that Twilio accepted has no message.
            true if attempt.message.is_empty() => State::Reported,
            true => State::Refused,
            false => message.state,
        };
        add(attempt.ended_at, reported(state, attempt));
    }
    if let Some(at) = requeued_at {
        add(at, "requeued by the operator, attempts counted anew".to_owned());
    }
    // Events of one time keep this order.
    life.sort_by_key(|moment| moment.at);
    life
}

fn began(message: &Message) -> TimelineEvent {
    if message.created_at_known {
        return TimelineEvent { at: message.created_at, what: "sent".to_owned() };
    }
    TimelineEvent {
        at: message.created_at,
        what: "first seen; the sending time is unknown".to_owned(),
    }
}

fn reported(state: State, attempt: &LastAttempt) -> String {
    let LastAttempt { number, took_ms, status, code, message: why, .. } = attempt;
    let answer = status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let code = code.map(|code| format!(", error {code}")).unwrap_or_default();
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let attempts = match number {
        0 | 1 => String::new(),
        many => {
            format!(", attempt {many} ({} before it, of which only the count is kept)", many - 1)
        }
    };
    let what = match state {
        State::Reported => "reported",
        State::Refused => "refused",
        State::Untracked
        | State::Pending
        | State::Expired
        | State::Undelivered
        | State::Confirmed => "not reported",
    };
    format!("{what}, {answer} in {took_ms} ms{code}{attempts}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::{Basis, Delivery, Proof};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn message() -> Message {
        Message {
            remembered_at: at(3),
            expires_at: at(100),
            since: at(4),
            proof: Some(Proof {
                label: "code_entered".to_owned(),
                basis: Basis::Direct,
                occurred_at: at(2),
                confirmed_at: at(3),
            }),
            delivery: Delivery { attempts: 2, ..Delivery::default() },
            reported_at: Some(at(4)),
            parked_at: Some(at(2)),
            last_attempt: Some(LastAttempt {
                number: 2,
                ended_at: at(4),
                took_ms: 143,
                status: Some(200),
                code: None,
                message: String::new(),
            }),
            ..Message::example(State::Reported, at(0))
        }
    }

    fn describe(message: &Message) -> Vec<(i64, String)> {
        of(message).into_iter().map(|moment| (moment.at.as_second(), moment.what)).collect()
    }

    #[test]
    fn the_timeline_of_a_message_whose_event_came_first_runs_from_sending_to_report() {
        let expected = [
            (0, "sent"),
            (2, "code entered, and had to wait"),
            (3, "first seen"),
            (3, "confirmed by code entered (direct)"),
            (
                4,
                "reported, HTTP 200 in 143 ms, attempt 2 (1 before it, of which only the count is kept)",
            ),
        ];
        assert_eq!(describe(&message()), expected.map(|(at, what)| (at, what.to_owned())));
    }

    #[test]
    fn the_timeline_shows_the_failure_of_an_attempt_until_the_next_one() {
        let mut waiting = message();
        (waiting.state, waiting.since) = (State::Confirmed, at(3));
        let attempt = waiting.last_attempt.as_mut().expect("there");
        (attempt.status, attempt.message) = (None, "timed out".to_owned());
        let last = describe(&waiting).pop().expect("told").1;
        let before = "1 before it, of which only the count is kept";
        assert_eq!(
            last,
            format!("not reported, no answer in 143 ms, attempt 2 ({before}): timed out")
        );
    }

    #[test]
    fn the_timeline_shows_a_requeue_after_a_refusal_until_the_message_is_settled_again() {
        let mut requeued = message();
        (requeued.state, requeued.since, requeued.reported_at) = (State::Confirmed, at(9), None);
        requeued.delivery.attempts = 0;
        let attempt = requeued.last_attempt.as_mut().expect("there");
        (attempt.number, attempt.status, attempt.code) = (3, Some(400), Some(21609));
        attempt.message = "no".to_owned();
        let before = "attempt 3 (2 before it, of which only the count is kept)";
        let refused = format!("refused, HTTP 400 in 143 ms, error 21609, {before}: no");
        let again = "requeued by the operator, attempts counted anew".to_owned();
        let last = |message: &Message| describe(message).split_off(4);
        assert_eq!(last(&requeued), [(4, refused), (9, again.clone())]);
        let attempt = requeued.last_attempt.as_mut().expect("there");
        (attempt.number, attempt.ended_at, attempt.status) = (1, at(12), Some(503));
        let tried = "not reported, HTTP 503 in 143 ms, error 21609: no".to_owned();
        assert_eq!(last(&requeued), [(9, again), (12, tried)]);
        (requeued.state, requeued.since) = (State::Refused, at(13));
        assert!(last(&requeued).iter().all(|(_, what)| !what.contains("requeued")));
    }

    #[test]
    fn the_timeline_still_shows_a_report_that_was_requeued() {
        let mut requeued = message();
        (requeued.state, requeued.since) = (State::Confirmed, at(9));
        requeued.delivery = Delivery::default();
        let [.., (_, reported), (9, again)] = &describe(&requeued)[..] else {
            panic!("{requeued:?}")
        };
        assert!(reported.starts_with("reported, HTTP 200"), "{reported}");
        assert!(again.starts_with("requeued by the operator"), "{again}");
        assert_eq!(requeued.posts_made(), 0, "attempts are counted anew");
    }

    #[test]
    fn the_label_of_the_app_is_redacted_in_the_timeline() {
        let mut called = message();
        called.proof.as_mut().expect("proven").label = "user_+15551234567".to_owned();
        assert!(describe(&called).iter().all(|(_, what)| !what.contains("5551234567")));
    }

    #[test]
    fn the_timeline_of_an_undelivered_message_has_twilios_error_code() {
        let failed = Message {
            state: State::Undelivered,
            error_code: Some(30003),
            created_at_known: false,
            proof: None,
            parked_at: None,
            last_attempt: None,
            ..message()
        };
        let expected =
            [(0, "first seen; the sending time is unknown"), (4, "undelivered, error 30003")];
        assert_eq!(describe(&failed), expected.map(|(at, what)| (at, what.to_owned())));
    }
}

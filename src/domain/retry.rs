//! Retry: from Twilio's verdict to the settlement of an attempt (docs/design.md, "Posting to Twilio").
//!
//! Only a `Done` reports a message, and every wait has a floor and a ceiling. Deliberately absent: the state of the
//! account. The worker decides whether its lane is paused, and for how long.

use std::time::Duration;

use crate::domain::feedback::{OutcomeDetail, Settlement, Verdict};

/// The upper limit of the first wait, which starts at zero; the range doubles with each attempt.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The retry cap: the largest range of waits.
pub const BACKOFF_CAP: Duration = Duration::from_mins(15);
/// The shortest wait, because full jitter may be zero.
pub const BACKOFF_FLOOR: Duration = Duration::from_millis(50);
/// More than any wait for the next attempt. A later due time comes from a clock that was ahead.
pub const LONGEST_WAIT: Duration = Duration::from_hours(2);
/// The limit of a `Retry-After`, so that an error of Twilio's cannot park a message for a year.
pub const RETRY_AFTER_CAP: Duration = Duration::from_hours(1);
/// A younger message may not be visible everywhere at Twilio yet, so a 404 is not final.
pub const MISSING_GRACE: Duration = Duration::from_mins(1);

/// The least wait after a 404 grows with each attempt up to this one.
const MISSING_STEPS: u32 = 12;
/// Doublings after which the range has reached [`BACKOFF_CAP`] (2^10 s > 15 min).
const MAX_DOUBLINGS: u32 = 10;

/// The limit of retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A message that has spent this long is given up after its next failure. The time spent is the sum of the requested
    /// waits and of the attempts. Pauses, throttling and the downtime of the process add nothing.
    pub give_up_after: Duration,
}

/// The facts of an attempt besides its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// Time that counted toward giving up before this attempt.
    pub spent: Duration,
    /// The duration of this attempt.
    pub took: Duration,
    /// The age of the message.
    pub age: Duration,
    /// The message got the same 403 or 404 before, and another message of its account succeeded. So the fault is the
    /// message's, not the account's.
    pub suspect: bool,
    /// The wait that the message's lane requests. Used if the attempt is given back, and after a 404.
    pub hold: Duration,
}

/// The wait before the next attempt: full jitter over a range that doubles from [`BACKOFF_BASE`] to [`BACKOFF_CAP`].
/// `attempts` includes the last one, `jitter` is in `[0, 1)`.
pub fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(MAX_DOUBLINGS);
    let range = BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_CAP);
    range.mul_f64(within_unit(jitter)).max(BACKOFF_FLOOR)
}

/// The wait for a `Retry-After`: that long (one hour at most) plus up to a tenth, so that clients do not return
/// together.
pub fn obeying(retry_after: Duration, jitter: f64) -> Duration {
    let asked = retry_after.min(RETRY_AFTER_CAP);
    asked + asked.mul_f64(within_unit(jitter) / 10.0)
}

/// The settlement of an attempt.
pub fn conclude(
    verdict: &Verdict,
    facts: &AttemptFacts,
    policy: &RetryPolicy,
    jitter: f64,
) -> Settlement {
    let release = Settlement::Release { after: facts.hold };
    match verdict {
        Verdict::Done { .. } => Settlement::Reported,
        Verdict::Uncertain { why } => again(why, None, facts, policy, jitter),
        Verdict::Retry { why, after } => again(why, *after, facts, policy, jitter),
        // Without Twilio's code, the answer may be a proxy's.
        Verdict::Pause { why } if facts.suspect && why.code.is_some() => refused(why),
        Verdict::Throttle { .. } | Verdict::Pause { .. } => release,
        Verdict::Missing { why } if facts.suspect && facts.age >= MISSING_GRACE => {
            let message = format!("{UNKNOWN_SID}: {}", why.message);
            refused(&OutcomeDetail { message, ..why.clone() })
        }
        // A wrong account or region gets the same answer, and must refuse no message, so no time counts.
        Verdict::Missing { .. } => {
            let own = backoff(facts.attempts, jitter);
            let hold = facts.hold.saturating_mul(facts.attempts.min(MISSING_STEPS));
            let after = if facts.age < MISSING_GRACE { own } else { own.max(hold) };
            Settlement::Retry { after, spent: facts.spent }
        }
        Verdict::Never { why } => refused(why),
    }
}

/// The reason of a message that is refused for its second 404.
const UNKNOWN_SID: &str = "Twilio answered 404 twice and accepts other messages of the account, so it does not know this SID";

fn again(
    why: &OutcomeDetail,
    retry_after: Option<Duration>,
    facts: &AttemptFacts,
    policy: &RetryPolicy,
    jitter: f64,
) -> Settlement {
    let spent = facts.spent.saturating_add(facts.took);
    if spent >= policy.give_up_after {
        let message = format!("given up after {}: {}", brief(policy.give_up_after), why.message);
        return refused(&OutcomeDetail { message, ..why.clone() });
    }
    let own = backoff(facts.attempts, jitter);
    let after = retry_after.map_or(own, |asked| obeying(asked, jitter).max(own));
    Settlement::Retry { after, spent: spent.saturating_add(after) }
}

fn refused(why: &OutcomeDetail) -> Settlement {
    Settlement::Refused(why.clone().into())
}

/// A jitter that is not a number counts as the longest wait.
fn within_unit(jitter: f64) -> f64 {
    if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) }
}

/// A duration as the settings write it: `24h`, `90m`, `45s`.
fn brief(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
    use proptest::proptest;

    const DAY: RetryPolicy = RetryPolicy { give_up_after: Duration::from_hours(24) };
    const FACTS: AttemptFacts = AttemptFacts {
        attempts: 3,
        spent: Duration::from_secs(10),
        took: Duration::from_secs(2),
        age: Duration::from_hours(1),
        suspect: false,
        hold: Duration::from_secs(7),
    };

    fn why(status: u16, code: u32) -> OutcomeDetail {
        OutcomeDetail { status: Some(status), code: Some(code), message: "said Twilio".to_owned() }
    }

    fn refusal_of(settlement: Settlement) -> OutcomeDetail {
        let Settlement::Refused(refusal) = settlement else {
            panic!("not refused: {settlement:?}")
        };
        OutcomeDetail { status: refusal.status, code: refusal.code, message: refusal.message }
    }

    #[test]
    fn only_done_is_reported_and_an_uncertain_answer_is_retried_until_it_is_refused() {
        let end = conclude(&Verdict::Done { status: 200 }, &FACTS, &DAY, 0.5);
        assert_eq!(end, Settlement::Reported);
        let why = OutcomeDetail { message: "200 with HTML".to_owned(), ..why(200, 0) };
        let uncertain = Verdict::Uncertain { why };
        let again = conclude(&uncertain, &FACTS, &DAY, 0.5);
        assert!(matches!(again, Settlement::Retry { spent, .. } if spent > FACTS.spent));
        let facts = AttemptFacts { spent: DAY.give_up_after, ..FACTS };
        let refusal = refusal_of(conclude(&uncertain, &facts, &DAY, 0.5));
        assert_eq!(refusal.message, "given up after 24h: 200 with HTML");
        assert_eq!(refusal.status, Some(200));
    }

    #[test]
    fn trouble_that_passes_is_retried_and_its_time_counts() {
        let verdict = Verdict::Retry { why: why(503, 0), after: None };
        let after = Duration::from_secs(2); // half of the third range, 4 s
        let spent = FACTS.spent + FACTS.took + after;
        assert_eq!(conclude(&verdict, &FACTS, &DAY, 0.5), Settlement::Retry { after, spent });
    }

    #[test]
    fn retry_after_is_waited_for_in_full_but_never_for_more_than_an_hour_and_a_tenth() {
        for (asked, least) in [(30, 30), (3600, 3600), (86_400, 3600)] {
            let after = Some(Duration::from_secs(asked));
            let verdict = Verdict::Retry { why: why(503, 0), after };
            let Settlement::Retry { after, .. } = conclude(&verdict, &FACTS, &DAY, 0.99) else {
                panic!("not retried")
            };
            let least = Duration::from_secs(least);
            assert!(after >= least && after <= least.mul_f64(1.1), "{after:?}");
        }
    }

    #[test]
    fn trouble_that_lasts_is_given_up_with_the_last_reason() {
        let facts = AttemptFacts { spent: DAY.give_up_after, ..FACTS };
        let verdict = Verdict::Retry { why: why(500, 20500), after: None };
        let why = refusal_of(conclude(&verdict, &facts, &DAY, 0.5));
        assert_eq!(why.message, "given up after 24h: said Twilio");
        assert_eq!((why.status, why.code), (Some(500), Some(20500)));
    }

    #[test]
    fn throttle_and_pause_give_the_attempt_back_until_the_lane_opens() {
        let release = Settlement::Release { after: FACTS.hold };
        let after = Some(Duration::from_secs(1));
        let throttled = Verdict::Throttle { why: why(429, 20429), after };
        assert_eq!(conclude(&throttled, &FACTS, &DAY, 0.5), release);
        for status in [401, 403, 307] {
            let paused = Verdict::Pause { why: why(status, 0) };
            assert_eq!(conclude(&paused, &FACTS, &DAY, 0.5), release);
        }
    }

    #[test]
    fn a_403_whose_fault_is_the_messages_own_is_refused() {
        let facts = AttemptFacts { suspect: true, ..FACTS };
        let verdict = Verdict::Pause { why: why(403, 70051) };
        assert_eq!(refusal_of(conclude(&verdict, &facts, &DAY, 0.5)), why(403, 70051));
        let from_a_proxy = Verdict::Pause { why: OutcomeDetail { code: None, ..why(403, 0) } };
        let end = conclude(&from_a_proxy, &facts, &DAY, 0.5);
        assert_eq!(end, Settlement::Release { after: facts.hold });
    }

    #[test]
    fn a_404_refuses_only_a_suspect_of_a_minute_and_otherwise_costs_no_lifetime() {
        let verdict = Verdict::Missing { why: why(404, 20404) };
        let end = |suspect, age| {
            let facts = AttemptFacts { suspect, age, spent: DAY.give_up_after, ..FACTS };
            conclude(&verdict, &facts, &DAY, 0.5)
        };
        let retry = |after| Settlement::Retry { after, spent: DAY.give_up_after };
        let young = Duration::from_secs(59);
        for suspect in [true, false] {
            assert_eq!(end(suspect, young), retry(Duration::from_secs(2)), "half of 4 s");
        }
        assert_eq!(end(false, MISSING_GRACE), retry(FACTS.hold * 3), "after three attempts");
        let refusal = refusal_of(end(true, MISSING_GRACE));
        assert!(refusal.message.ends_with("does not know this SID: said Twilio"));
        assert_eq!((refusal.status, refusal.code), (Some(404), Some(20404)));
    }

    #[test]
    fn a_post_that_twilio_rejects_for_good_is_refused_with_its_code_and_words() {
        let verdict = Verdict::Never { why: why(400, 21609) };
        assert_eq!(refusal_of(conclude(&verdict, &FACTS, &DAY, 0.5)), why(400, 21609));
    }

    #[test]
    fn a_message_that_always_fails_is_given_up_after_about_a_day() {
        let verdict = Verdict::Retry { why: why(503, 0), after: None };
        let mut facts = AttemptFacts { attempts: 1, spent: Duration::ZERO, ..FACTS };
        let mut end = conclude(&verdict, &facts, &DAY, 0.5);
        while let Settlement::Retry { spent, .. } = end {
            facts = AttemptFacts { attempts: facts.attempts + 1, spent, ..facts };
            end = conclude(&verdict, &facts, &DAY, 0.5);
        }
        assert!(facts.spent >= DAY.give_up_after);
        assert!(facts.spent <= DAY.give_up_after + BACKOFF_CAP);
        assert!((150..250).contains(&facts.attempts), "{}", facts.attempts);
    }

    #[test]
    fn durations_read_as_the_settings_write_them() {
        for (seconds, text) in [(86_400, "24h"), (5400, "90m"), (45, "45s"), (0, "0s")] {
            assert_eq!(brief(Duration::from_secs(seconds)), text);
        }
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        let after = proptest::option::of(any::<u64>().prop_map(Duration::from_secs));
        prop_oneof![
            Just(Verdict::Done { status: 200 }),
            Just(Verdict::Uncertain { why: OutcomeDetail::default() }),
            after.clone().prop_map(|after| Verdict::Retry { why: OutcomeDetail::default(), after }),
            after.prop_map(|after| Verdict::Throttle { why: OutcomeDetail::default(), after }),
            Just(Verdict::Pause { why: OutcomeDetail::default() }),
            Just(Verdict::Missing { why: OutcomeDetail::default() }),
            Just(Verdict::Never { why: OutcomeDetail::default() }),
        ]
    }

    proptest! {
        #[test]
        fn every_wait_keeps_its_bounds(attempts: u32, jitter: f64) {
            let wait = backoff(attempts, jitter);
            prop_assert!((BACKOFF_FLOOR..=BACKOFF_CAP).contains(&wait));
        }

        #[test]
        fn waits_grow_with_the_attempts_and_with_the_jitter(
            attempts in 0..u32::MAX, jitter in 0.0..1.0f64, more in 0.0..1.0f64,
        ) {
            prop_assert!(backoff(attempts, jitter) <= backoff(attempts + 1, jitter));
            let (low, high) = (jitter.min(more), jitter.max(more));
            prop_assert!(backoff(attempts, low) <= backoff(attempts, high));
        }

        #[test]
        fn only_done_reports_and_no_time_is_ever_lost(
            verdict in verdicts(), attempts: u32, spent: u64, took in 0..3600u64, age: u64,
            suspect: bool, jitter in 0.0..1.0f64,
        ) {
            let [spent, took, age] = [spent, took, age].map(Duration::from_secs);
            let facts = AttemptFacts { attempts, spent, took, age, suspect, ..FACTS };
            let end = conclude(&verdict, &facts, &DAY, jitter);
            let done = matches!(verdict, Verdict::Done { .. });
            prop_assert_eq!(end == Settlement::Reported, done);
            if let Settlement::Retry { after, spent: counted } = end {
                prop_assert!(after <= RETRY_AFTER_CAP.mul_f64(1.1));
                let is_missing = matches!(verdict, Verdict::Missing { .. });
                prop_assert_eq!(counted, if is_missing { spent } else { spent + took + after });
            }
        }
    }
}

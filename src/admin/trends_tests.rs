//! Tests of the trends: windows, comparisons, and the effect of holds and lanes.

use super::*;
use crate::domain::findings::{FindingId, Severity, derive_findings};
use crate::domain::message::{Basis, LastAttempt, Proof};
use crate::domain::stats::CountedRecord;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::signature_tally::SignatureTally;

const ONE: &str = "AC0123456789abcdef0123456789abcdef";
const OTHER: &str = "AC1123456789abcdef0123456789abcdef";

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// Now is minute 100.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + minute * 60).expect("a time")
}

fn lane(state: LaneReadiness) -> LaneDetail {
    LaneDetail { state, status: None, code: None, why: None, since: None }
}

fn confirmed(account: &str, minute: i64, tried: bool) -> Message {
    let confirmed_at = at(minute);
    let proof = Proof {
        label: "reply".to_owned(),
        basis: Basis::Direct,
        occurred_at: confirmed_at,
        confirmed_at,
    };
    let attempt = LastAttempt {
        number: 1,
        ended_at: confirmed_at,
        took_ms: 1,
        status: Some(503),
        code: None,
        message: String::new(),
    };
    Message {
        account: account.parse().expect("valid"),
        proof: Some(proof),
        last_attempt: tried.then_some(attempt),
        ..Message::example(State::Confirmed, confirmed_at)
    }
}

#[test]
fn a_total_counts_within_its_window_and_from_the_start_of_a_younger_process() {
    let (metrics, mut trends, now) = (Metrics::new(), Trends::default(), Snapshot::default());
    metrics.events("message", "malformed");
    let grown = |trends: &Trends, uptime| {
        trends.growth_in(uptime, ONE_HOUR, &metrics.totals(), Total::MalformedEvents)
    };
    assert_eq!(grown(&trends, minutes(0)), 1, "before any sample");
    trends.record(minutes(1), &now, metrics.totals());
    assert_eq!(grown(&trends, minutes(59)), 1);
    metrics.events("message", "malformed");
    assert_eq!(grown(&trends, minutes(62)), 1, "the first is out of the window");
    trends.record(minutes(62), &now, metrics.totals());
    assert_eq!(grown(&trends, minutes(123)), 0);
}

#[test]
fn conversion_is_compared_with_the_same_hours_a_day_ago_once_they_were_sampled() {
    let mut trends = Trends::default();
    let counts =
        |sent| Counts::from([("49".to_owned(), TrafficCount { sent, confirmed: sent / 2 })]);
    let hour = |hour: u64| minutes(60 * hour);
    let traffic = |trends: &Trends, uptime, total| {
        let traffic = trends.traffic_windows(uptime, counts(total), |sample| &sample.countries);
        let [traffic] = traffic.as_slice() else { unreachable!("{traffic:?}") };
        (traffic.now.sent, traffic.a_day_ago.map(|before| before.sent))
    };
    // A hundred an hour, from the start on.
    for quarter in 0..=4 * 30 {
        let uptime = minutes(15 * quarter);
        let (countries, senders) = (counts(25 * quarter), Counts::new());
        let sample =
            CoarseSample { totals: Totals::ZERO, orphaned: 0, free: None, countries, senders };
        match quarter {
            4 => assert_eq!(traffic(&trends, hour(1), 100), (100, None)),
            92 => assert_eq!(traffic(&trends, hour(23), 2_300), (200, None)),
            100 => {
                let of_the_first_hour = traffic(&trends, hour(25), 2_500);
                assert_eq!(of_the_first_hour, (200, Some(100)));
            }
            _ => {}
        }
        trends.coarse.note(uptime, sample);
    }
    assert_eq!(traffic(&trends, hour(30), 3_000), (200, Some(200)));
}

#[test]
fn orphaned_evidence_and_free_space_are_compared_with_the_first_sample() {
    let mut trends = Trends::default();
    assert_eq!(trends.orphaned_growth(minutes(0), 500), 0);
    let mut now = Snapshot { free_disk_bytes: Some(1_000), ..Snapshot::default() };
    now.counts.orphaned = 500;
    trends.record(minutes(0), &now, Totals::ZERO);
    assert_eq!(trends.orphaned_growth(minutes(90), 507), 7);
    let before = (SignedDuration::from_mins(90), 1_000);
    assert_eq!(trends.free_before(minutes(90)), Some(before));
}

#[test]
fn a_lane_that_was_throttled_most_of_the_time_counts_even_while_it_is_open() {
    let mut trends = Trends::default();
    let snapshot = |state| {
        let lanes = BTreeMap::from([(ONE.to_owned(), lane(state))]);
        Snapshot { lanes, ..Snapshot::default() }
    };
    let held = snapshot(LaneReadiness::Throttled);
    for sample in 0..100 {
        trends.record(FINE_STEP * sample, &held, Totals::ZERO);
    }
    let now = FINE_STEP * 100;
    let throttled = trends.throttled(now, &snapshot(LaneReadiness::Posting));
    assert!(throttled.iter().all(|lane| (0.8..0.9).contains(&lane.share)), "{throttled:?}");
    assert_eq!(throttled.len(), 1);
    assert_eq!(
        trends.throttled(now, &snapshot(LaneReadiness::Paused)),
        [],
        "a paused lane has another finding"
    );
    assert_eq!(Trends::default().throttled(now, &snapshot(LaneReadiness::Throttled)).len(), 1);
    assert_eq!(Trends::default().throttled(now, &snapshot(LaneReadiness::Posting)), []);
}

#[test]
fn an_account_on_hold_has_no_effect_on_the_findings_of_another() {
    let trends = Trends::default();
    let outbox = |now: &Snapshot| {
        let OutboxFacts { oldest, failed, last_failure, .. } = trends.outbox(minutes(1), now);
        (oldest, failed, last_failure)
    };
    let mut now = Snapshot { taken_at: at(100), ..Snapshot::default() };
    now.posting.on_hold.insert(OTHER.parse().expect("valid"), at(0));
    // The account on hold has many old messages.
    now.outbox = (0..30).map(|minute| confirmed(OTHER, minute, true)).collect();
    assert_eq!(outbox(&now), (None, 0, None));
    now.outbox.push(confirmed(ONE, 99, false));
    assert_eq!(outbox(&now), (Some(at(99)), 0, None));
    now.outbox.insert(0, confirmed(ONE, 98, true));
    assert_eq!(outbox(&now), (Some(at(98)), 1, Some("HTTP 503".to_owned())));
    now.lanes.insert(ONE.to_owned(), lane(LaneReadiness::Paused));
    assert_eq!(outbox(&now), (Some(at(98)), 0, None), "late, as in the alert");
}

/// Findings about these confirmed messages, at minute 100.
fn findings(messages: &[Message], state: LaneReadiness) -> Vec<(FindingId, Severity)> {
    let trends = Trends::default();
    let mut now = Snapshot { taken_at: at(100), ..Snapshot::default() };
    for message in messages {
        now.stats.insert(&CountedRecord::of_message(message));
    }
    now.outbox = messages.iter().take(MAX_EVALUATED).cloned().collect();
    now.lanes.insert(ONE.to_owned(), lane(state));
    let outbox = OutboxFacts { failed: 0, last_failure: None, ..trends.outbox(minutes(1), &now) };
    let throttled = trends.throttled(minutes(1), &now);
    let mut inputs = FindingInputs { now: at(100), outbox, throttled, ..FindingInputs::default() };
    inputs.twilio.last_verified = Some(at(100));
    derive_findings(&inputs).iter().map(|finding| (finding.id, finding.severity)).collect()
}

#[test]
fn a_confirmation_that_waits_out_a_long_429_is_late_and_its_throttled_account_a_warning() {
    let stuck: Vec<_> = (0..30).map(|_| confirmed(ONE, 70, false)).collect();
    let late = (FindingId::OutboxOld, Severity::Critical);
    let throttled = (FindingId::LaneThrottled, Severity::Warning);
    assert_eq!(findings(&stuck, LaneReadiness::Throttled), [late, throttled]);
    let fresh = [confirmed(ONE, 99, false)];
    assert_eq!(findings(&fresh, LaneReadiness::Throttled), [(throttled.0, Severity::Info)]);
}

#[test]
fn the_oldest_confirmation_is_late_even_if_a_hundred_others_are_posted_before_it() {
    let mut messages: Vec<_> = (0..120).map(|_| confirmed(ONE, 99, false)).collect();
    messages.push(confirmed(ONE, 70, true));
    let late = (FindingId::OutboxOld, Severity::Critical);
    assert_eq!(findings(&messages, LaneReadiness::Posting), [late]);
    let throttled = (FindingId::LaneThrottled, Severity::Warning);
    assert_eq!(findings(&messages, LaneReadiness::Throttled), [late, throttled]);
}

#[test]
fn signatures_are_counted_by_route_and_account_within_their_windows() {
    let (tally, mut trends) = (SignatureTally::default(), Trends::default());
    let account = |text: &str| ClaimedAccount::Configured(text.parse().expect("valid"));
    let (one, two) = (account(ONE), account(OTHER));
    let snapshot =
        || Snapshot { taken_at: at(100), signatures: tally.counts(), ..Snapshot::default() };
    let found = |trends: &Trends, uptime| {
        let signatures = trends.signatures(uptime, &snapshot());
        let twilio = signatures.iter().map(|route| route.facts).sum();
        let inputs = FindingInputs { now: at(100), twilio, signatures, ..FindingInputs::default() };
        derive_findings(&inputs)
            .into_iter()
            .filter_map(|finding| finding.subject)
            .collect::<Vec<_>>()
    };
    tally.verified(("/twilio/message", one), at(99));
    tally.refused(("/twilio/message", two));
    tally.refused(("/twilio/status", one));
    tally.unsigned(("/twilio/call", ClaimedAccount::Unnamed));
    let refused = ["/twilio/status".to_owned(), format!("{OTHER} /twilio/")];
    assert_eq!(found(&trends, minutes(1)), refused);
    trends.record(minutes(2), &snapshot(), Totals::ZERO);
    tally.verified(("/twilio/message", one), at(99));
    assert_eq!(found(&trends, minutes(50)), refused, "none since the start, for an hour");
    tally.verified(("/twilio/status", one), at(99));
    tally.verified(("/twilio/message", two), at(99));
    assert_eq!(found(&trends, minutes(50)), [""; 0]);
    trends.record(minutes(60), &snapshot(), Totals::ZERO);
    tally.verified(("/twilio/message", one), at(99));
    tally.refused(("/twilio/message", two));
    assert_eq!(found(&trends, minutes(80)), [format!("{OTHER} /twilio/")], "for 15 minutes");
}

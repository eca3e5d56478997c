//! Each finding, provoked by one situation, and absent in a similar one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::domain::clock::Jump;

/// Minutes after some moment.
pub(super) fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + minute * 60).expect("a time")
}

/// A service with nothing wrong, at minute 10,000, started at minute 0.
pub(super) fn well() -> FindingInputs {
    let start = StartFacts { started_at: at(0), ..StartFacts::default() };
    let twilio =
        SignatureFacts { last_verified: Some(at(9_997)), verified: 5, ..SignatureFacts::default() };
    let store = StoreFacts { free: Some(1 << 30), max_records: 1_000, ..StoreFacts::default() };
    FindingInputs { now: at(10_000), start, twilio, store, ..FindingInputs::default() }
}

/// The findings after `change` to a service with nothing wrong.
fn found(change: impl FnOnce(&mut FindingInputs)) -> Vec<(FindingId, Severity)> {
    let mut now = well();
    change(&mut now);
    derive_findings(&now).iter().map(|finding| (finding.id, finding.severity)).collect()
}

#[test]
fn a_service_that_verified_something_lately_has_no_finding() {
    assert_eq!(derive_findings(&well()), Vec::new());
    assert_eq!(worst(&derive_findings(&well())), None);
}

#[test]
fn each_id_has_a_name_of_its_own_and_an_alert_or_none() {
    let names: BTreeSet<_> = FindingId::ALL.map(FindingId::as_str).into_iter().collect();
    assert_eq!(names.len(), FindingId::ALL.len());
    assert_eq!(FindingId::LanePaused.alert().as_deref(), Some("HeardbackLanePaused"));
    assert_eq!(FindingId::SmsPumping.runbook(), "docs/operations.md#heardbacksmspumping");
    assert_eq!(FindingId::DryRun.alert(), None);
    assert_eq!(FindingId::DryRun.runbook(), "docs/operations.md#finding-dry-run");
}

fn traffic(now: (u64, u64), a_day_ago: Option<(u64, u64)>) -> Vec<Traffic> {
    let count = |(sent, confirmed)| TrafficCount { sent, confirmed };
    let name = "49".to_owned();
    vec![Traffic { name, now: count(now), a_day_ago: a_day_ago.map(count) }]
}

fn key(name: &str, minute: i64) -> KeyFacts {
    KeyFacts { account: "AC1".to_owned(), name: name.to_owned(), last_matched: at(minute) }
}

fn paused(status: Option<u16>, code: Option<u32>, message: &str) -> Vec<PausedLane> {
    let (account, message) = ("AC1".to_owned(), message.to_owned());
    vec![PausedLane { account, since: Some(at(9_000)), status, code, message }]
}

fn throttled(share: f64) -> Vec<ThrottledLane> {
    vec![ThrottledLane { account: "AC1".to_owned(), share, oldest: None }]
}

fn failures(signature_failures: u64, a_day_ago: Option<u64>) -> RequestFacts {
    let signature_failures_a_day_ago = a_day_ago;
    RequestFacts { signature_failures, signature_failures_a_day_ago, ..RequestFacts::default() }
}

type Change = fn(&mut FindingInputs);

/// For each kind of finding: a change that provokes it, its severity then, and a similar change that does not.
#[expect(clippy::too_many_lines, reason = "a row for each kind")]
fn provocations() -> Vec<(FindingId, Severity, Change, Change)> {
    use FindingId as Id;
    use Severity::{Critical, Info, Warning};
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    let restarts: (Change, Change) = (
        |now| {
            now.start.started_at = at(9_999);
            now.start.earlier_starts = vec![at(9_950), at(9_960), at(9_970)];
        },
        |now| {
            now.start.started_at = at(9_999);
            now.start.earlier_starts = vec![at(9_930), at(9_960), at(9_970)];
        },
    );
    let filling: (Change, Change) = (
        |now| now.store.free_before = Some((HOUR * 6, (1 << 30) + (400 << 20))),
        |now| now.store.free_before = Some((HOUR * 6, (1 << 30) + (100 << 20))),
    );
    vec![
        (Id::Restarting, Critical, restarts.0, restarts.1),
        (Id::ServerErrors, Critical, |now| now.requests.server_errors = 1, |_| {}),
        (Id::ReloadRefused, Warning, |now| now.reloads_refused = 1, |_| {}),
        (
            Id::SignatureFailures,
            Warning,
            |now| now.requests = failures(31, Some(10)),
            |now| now.requests = failures(30, Some(10)),
        ),
        (
            Id::NothingVerifies,
            Critical,
            |now| (now.twilio.verified, now.twilio.refused) = (0, 11),
            |now| {
                now.twilio.verified = 1;
                now.twilio.refused = 1_000;
                now.twilio.since_start.unsigned = 9;
                now.app.last_verified = Some(at(1));
            },
        ),
        (Id::Refusals, Warning, |now| now.requests.unusable = 21, |now| now.requests.unusable = 20),
        (Id::MalformedEvents, Warning, |now| now.requests.malformed_events = 1, |_| {}),
        (Id::Orphans, Warning, |now| now.requests.orphaned = 21, |now| now.requests.orphaned = 20),
        (Id::EvidenceDeferred, Warning, |now| now.requests.deferred_evidence = 1, |_| {}),
        (Id::EvidenceLost, Critical, |now| now.requests.lost_evidence = 1, |_| {}),
        (Id::SendsLost, Warning, |now| now.requests.lost_sends = 1, |_| {}),
        (Id::SendsUnregistered, Warning, |now| now.requests.unregistered_sends = 1, |_| {}),
        (
            Id::AppFailing,
            Warning,
            |now| {
                now.forwards = vec![ForwardFacts {
                    account: "AC1".to_owned(),
                    kind: "call",
                    failures: 1,
                    since: at(9_999),
                    last: "timeout".to_owned(),
                }];
            },
            |_| {},
        ),
        (
            Id::OutboxOld,
            Critical,
            |now| now.outbox.oldest = Some(at(9_985)),
            |now| now.outbox.oldest = Some(at(9_996)),
        ),
        (
            Id::OutboxGrowing,
            Warning,
            |now| (now.outbox.waiting, now.outbox.half_an_hour_ago) = (101, Some(9)),
            |now| (now.outbox.waiting, now.outbox.half_an_hour_ago) = (101, None),
        ),
        (Id::LanePaused, Critical, |now| now.paused = paused(Some(401), None, ""), |_| {}),
        (Id::LaneThrottled, Warning, |now| now.throttled = throttled(0.6), |_| {}),
        (
            Id::LaneOnHold,
            Warning,
            |now| now.on_hold = vec![HeldAccount { account: "AC1".to_owned(), since: at(9_999) }],
            |_| {},
        ),
        (
            Id::UpstreamFailing,
            Warning,
            |now| (now.upstream.attempts, now.upstream.failures) = (21, 11),
            |now| (now.upstream.attempts, now.upstream.failures) = (22, 11),
        ),
        (Id::RefusedByTwilio, Warning, |now| now.upstream.refused_today = 1, |_| {}),
        (
            Id::UpstreamMismatch,
            Critical,
            |now| {
                let (account, why) = ("AC1".to_owned(), "200 with HTML".to_owned());
                now.foreign = vec![ForeignServer { account, since: at(9_999), why }];
                now.upstream = UpstreamFacts { attempts_in_an_hour: 1, unnamed: 1, ..now.upstream };
            },
            |now| now.upstream.attempts_in_an_hour = 1,
        ),
        (Id::StoreSilent, Critical, |now| now.store.trouble = Some("no answer".to_owned()), |_| {}),
        (
            Id::StoreNearlyFull,
            Critical,
            |now| now.store.free = Some((192 << 20) - 1),
            |now| now.store.free = Some(192 << 20),
        ),
        (Id::StoreFilling, Warning, filling.0, filling.1),
        (
            Id::TooManyMessages,
            Critical,
            |now| now.store.records = 901,
            |now| now.store.records = 900,
        ),
        (
            Id::TooManyParked,
            Critical,
            |now| (now.store.parked, now.store.parked_share) = (91, 100),
            |now| (now.store.parked, now.store.parked_share) = (90, 100),
        ),
        (
            Id::CommitSlow,
            Warning,
            |now| (now.store.commits, now.store.slow_commits) = (100, 2),
            |now| (now.store.commits, now.store.slow_commits) = (100, 1),
        ),
        (
            Id::NothingConfirmed,
            Critical,
            |now| now.countries = traffic((31, 0), None),
            |now| now.countries = traffic((30, 0), None),
        ),
        (
            Id::ConversionDropped,
            Warning,
            |now| now.countries = traffic((100, 44), Some((100, 90))),
            |now| now.countries = traffic((100, 45), Some((100, 90))),
        ),
        (
            Id::SenderConversionDropped,
            Warning,
            |now| now.senders = traffic((100, 44), Some((100, 90))),
            |now| now.senders = traffic((100, 44), Some((30, 27))),
        ),
        (
            Id::SmsPumping,
            Critical,
            |now| now.countries = traffic((301, 60), Some((100, 20))),
            |now| now.countries = traffic((300, 60), Some((100, 20))),
        ),
        (
            Id::KeyIdle,
            Info,
            |now| now.keys = vec![key("token 1", 9_990), key("token 2", 8_000)],
            |now| now.keys = vec![key("token 2", 8_000)],
        ),
        (Id::Draining, Critical, |now| now.is_draining = true, |_| {}),
        (Id::DryRun, Warning, |now| now.is_dry_run = true, |_| {}),
        (
            Id::NoVerifiedRequest,
            Warning,
            |now| now.twilio = SignatureFacts::default(),
            |now| now.twilio.last_verified = Some(at(10_000 - 24 * 60)),
        ),
        (
            Id::StorePlacement,
            Warning,
            |now| now.start.unsafe_file_system = Some("tmpfs".to_owned()),
            |_| {},
        ),
        (
            Id::FdLimit,
            Warning,
            |now| now.start.fd_limit = Some(FdLimit { limit: 64, needed: 256 }),
            |_| {},
        ),
        (Id::StoreEndUnverified, Warning, |now| now.start.is_end_unverified = true, |_| {}),
        (
            Id::ClockJump,
            Warning,
            |now| now.clock_jump = Some(Jump { ahead: HOUR * 960, since: at(9_999) }),
            |_| {},
        ),
        (Id::StoreFull, Warning, |now| now.store.forgotten_early = 1, |_| {}),
    ]
}

#[test]
fn each_finding_is_provoked_alone_and_by_nothing_less() {
    let mut provoked = BTreeSet::new();
    for (id, severity, provokes, does_not) in provocations() {
        assert_eq!(found(provokes), [(id, severity)], "{id:?}");
        assert_eq!(found(does_not), [], "{id:?}");
        provoked.insert(id);
    }
    assert_eq!(provoked, FindingId::ALL.into_iter().collect());
}

#[test]
fn each_finding_names_its_fault_in_a_sentence_and_ends_with_the_advice_of_its_kind() {
    for (id, _, provokes, _) in provocations() {
        let mut now = well();
        provokes(&mut now);
        for finding in derive_findings(&now) {
            let Finding { what, advice, severity, .. } = &finding;
            assert!(what.len() > 20 && !what.ends_with('.'), "{id:?}: {what}");
            assert!(
                what.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == 't'),
                "{what}"
            );
            assert!(advice.ends_with(id.advice()) && advice.ends_with('.'), "{id:?}: {advice}");
            assert!(*severity <= id.severity(), "{id:?} is worse than its alert");
        }
    }
}

#[test]
fn each_side_is_judged_alone() {
    let refused = |refused| SignatureFacts {
        in_an_hour: SignatureFailures { refused, unsigned: 9 },
        since_start: SignatureFailures { refused, unsigned: 9 },
        ..SignatureFacts::default()
    };
    // The app's requests verify nothing of Twilio's, and the other way round.
    let sides: [fn(&mut FindingInputs) -> &mut SignatureFacts; 2] =
        [|now| &mut now.app, |now| &mut now.twilio];
    for side in sides {
        let change = |now: &mut FindingInputs| {
            (now.app, now.twilio) = (well().twilio, well().twilio);
            *side(now) = refused(1);
        };
        assert_eq!(found(change), [(FindingId::NothingVerifies, Severity::Critical)]);
    }
    let mut both = well();
    (both.app, both.twilio) = (refused(3), refused(2));
    let subjects: Vec<_> =
        derive_findings(&both).into_iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, [Some("twilio".to_owned()), Some("app".to_owned())]);
}

#[test]
fn a_single_bad_signature_on_a_service_that_works_is_a_warning_and_a_scanner_is_not_an_outage() {
    let nothing_verifies = |severity| vec![(FindingId::NothingVerifies, severity)];
    let change = |now: &mut FindingInputs| (now.twilio.verified, now.twilio.refused) = (0, 1);
    assert_eq!(found(change), nothing_verifies(Severity::Warning));
    let change = |now: &mut FindingInputs| now.app.in_an_hour.unsigned = 1;
    assert_eq!(found(change), nothing_verifies(Severity::Warning));
    let change = |now: &mut FindingInputs| now.app.in_an_hour.refused = 1;
    assert_eq!(found(change), nothing_verifies(Severity::Critical));
    // A request from hours ago to a side that is not used does not stay an outage …
    let all = SignatureFailures { refused: 9, unsigned: 9 };
    assert_eq!(found(|now| now.app.since_start = all), []);
    // … unless no side has verified anything.
    let change = |now: &mut FindingInputs| {
        now.twilio = SignatureFacts { since_start: all, ..SignatureFacts::default() };
    };
    assert_eq!(found(change), nothing_verifies(Severity::Critical));
}

#[test]
fn a_server_in_twilios_place_is_critical_until_twilio_answers_and_a_warning_for_an_hour() {
    let (account, why) = ("AC1".to_owned(), "200 with HTML".to_owned());
    let mut now = well();
    now.upstream.unnamed = 3;
    now.foreign = vec![ForeignServer { account, since: Timestamp::UNIX_EPOCH, why }];
    let severities = |now: &FindingInputs| -> Vec<_> {
        derive_findings(now).iter().map(|finding| (finding.id, finding.severity)).collect()
    };
    assert_eq!(severities(&now), [(FindingId::UpstreamMismatch, Severity::Critical)]);
    now.foreign.clear();
    assert_eq!(severities(&now), [(FindingId::UpstreamMismatch, Severity::Warning)]);
}

#[test]
fn a_throttled_account_is_a_warning_once_its_oldest_confirmation_waited_for_five_minutes() {
    for (minute, severity) in [(9_995, Severity::Warning), (9_996, Severity::Info)] {
        let mut now = well();
        let (account, oldest) = ("AC1".to_owned(), Some(at(minute)));
        now.throttled = vec![ThrottledLane { account, share: 0.1, oldest }];
        let found: Vec<_> =
            derive_findings(&now).iter().map(|one| (one.id, one.severity)).collect();
        assert_eq!(found, [(FindingId::LaneThrottled, severity)], "{minute}");
    }
}

#[test]
fn a_finding_at_the_limit_says_that_new_events_get_503() {
    let says = |change: Change| {
        let mut now = well();
        change(&mut now);
        derive_findings(&now).into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; ")
    };
    assert!(!says(|now| now.store.records = 999).contains("503"));
    assert!(says(|now| now.store.records = 1_000).contains("new ones are rejected with HTTP 503"));
    assert!(says(|now| now.store.links = 1_001).contains("1001 click links"));
    assert!(says(|now| now.store.free = Some(150 << 20)).contains("150 MiB left; below 128 MiB"));
    assert!(says(|now| now.store.free = Some(127 << 20)).contains("127 MiB left, less than"));
}

#[test]
fn a_confirmation_that_a_dry_run_holds_back_is_not_late() {
    // The facts leave such messages out; a dry run holds back all.
    let change = |now: &mut FindingInputs| {
        now.is_dry_run = true;
        now.outbox = OutboxFacts { oldest: Some(at(0)), waiting: 999, ..OutboxFacts::default() };
    };
    assert_eq!(found(change), [(FindingId::DryRun, Severity::Warning)]);
}

#[test]
fn the_worst_finding_comes_first_and_external_texts_are_redacted() {
    let mut now = well();
    now.is_dry_run = true;
    now.store.trouble = Some("no room for +15551234567".to_owned());
    now.paused = paused(Some(403), Some(20005), "Account not active");
    let findings = derive_findings(&now);
    let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::Critical, Severity::Warning]);
    assert!(!format!("{findings:?}").contains("15551234567"));
    let lane = findings.iter().find(|finding| finding.id == FindingId::LanePaused).expect("one");
    assert!(lane.what.contains("HTTP 403, error 20005, Account not active"), "{}", lane.what);
    assert!(lane.advice.contains("suspended or closed"), "{}", lane.advice);
    assert!(!lane.advice.contains("correct the API key"), "{}", lane.advice);
    assert_eq!(lane.since, Some(at(9_000)));
    let json = serde_json::to_value(lane).expect("plain data");
    assert_eq!((&json["id"], &json["severity"]), (&"lane_paused".into(), &"critical".into()));
}

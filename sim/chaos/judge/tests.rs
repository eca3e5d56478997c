//! The judge finds each broken promise in a small history, and none in an intact one.

mod database;
mod excuses;
mod fairness;
mod forwarding;
mod sending;

use super::*;
use crate::history::{Credential, Event, EventKind, Role};
use crate::judge::facts::SECOND;

const ACCOUNT: &str = "AC1";
const SID: &str = "SMa1000000000000000000000000000001";
/// The claims of a request: whether it registers the message, and whether it proves it.
type Claims = (bool, bool);
const REGISTERS: Claims = (true, false);
const PROVES: Claims = (false, true);
const BOTH: Claims = (true, true);
const FORGED: &str = "SMc3000000000000000000000000000001";

/// Builds a history; each event is a second after the one before.
#[derive(Default)]
struct HistoryBuilder {
    events: Vec<Event>,
    next: u64,
}

impl HistoryBuilder {
    fn new() -> Self {
        let mut history = Self::default();
        history.push(EventKind::Plan {
            seed: 1,
            concurrency: 2,
            drain_seconds: 60,
            may_lose: false,
            receivers: 1,
        });
        history
    }

    /// A start, and a message that is registered and proven.
    fn with_proven_message() -> Self {
        let mut history = Self::new();
        history.push(EventKind::Started { run: 1 });
        history.push(EventKind::Ready { run: 1 });
        history.request(Role::Honest, SID, REGISTERS, Some(201));
        history.request(Role::Honest, SID, PROVES, Some(200));
        history
    }

    fn push(&mut self, kind: EventKind) -> &mut Self {
        let at = self.events.last().map_or(0, |event| event.at) + SECOND;
        self.events.push(Event { at, kind });
        self
    }

    fn request(&mut self, role: Role, sid: &str, claims: Claims, status: Option<u16>) -> &mut Self {
        self.signal("x", role, sid, claims, status)
    }

    fn signal(
        &mut self,
        kind: &str,
        role: Role,
        sid: &str,
        (registers, proves): Claims,
        status: Option<u16>,
    ) -> &mut Self {
        let req = self.next;
        self.next += 1;
        let (kind, account, sid) = (kind.to_owned(), ACCOUNT.to_owned(), sid.to_owned());
        let form = format!("form of {kind} about {sid}");
        self.push(EventKind::Sent { req, role, kind, account, sid, registers, proves, form });
        let (port, is_from_app) = (1, false);
        match status {
            Some(status) => self.push(EventKind::Answered { req, status, port, is_from_app }),
            None => self.push(EventKind::Unknown { req, why: "broke".to_owned() }),
        }
    }

    fn post_of(&mut self, sid: &str, account: &str, status: u16, after: u64) -> &mut Self {
        let post = self.next;
        self.next += 1;
        let (account, credential) = (account.to_owned(), Credential::Right);
        self.push(EventKind::Posted { post, run: 1, account, sid: sid.to_owned(), credential });
        let answer = "so".to_owned();
        self.push(EventKind::Decided { post, answer, status, retry_after: after });
        self.push(EventKind::Replied { post, whole: true })
    }

    fn post(&mut self, status: u16) -> &mut Self {
        self.post_of(SID, ACCOUNT, status, 0)
    }

    fn fault(&mut self, act: &str) -> &mut Self {
        let id = self.next;
        self.next += 1;
        self.push(EventKind::FaultBegan { id, name: act.to_owned() });
        self.push(EventKind::FaultEnded { id })
    }

    fn stored(&mut self, sid: &str, state: &str, status: Option<u16>) -> &mut Self {
        let (sid, account) = (sid.to_owned(), ACCOUNT.to_owned());
        self.push(EventKind::Stored { sid, account, state: state.to_owned(), status })
    }

    fn state(&mut self, state: &str) -> &mut Self {
        let from = self.events.last().map_or(0, |event| event.at) + SECOND / 2;
        self.push(EventKind::StateRead { sid: SID.to_owned(), from, state: state.to_owned() })
    }

    /// Ends the history, and returns the broken promises.
    fn broken(&mut self) -> Vec<&'static str> {
        self.push(EventKind::Healed);
        self.push(EventKind::Drained { outbox: 0 });
        self.push(EventKind::StoreRead { messages: 1 });
        let findings = judge(&Facts::of(&self.events));
        findings.iter().filter(|it| !it.broken.is_empty()).map(|it| it.id).collect()
    }
}

const NONE: [&str; 0] = [];

#[test]
fn a_proven_message_that_is_posted_once_breaks_no_promise() {
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(
        history.state("pending").post(201).state("reported").stored(SID, "reported", None).broken(),
        NONE
    );
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(history.post(404).stored(SID, "refused", Some(404)).broken(), NONE);
}

#[test]
fn i1_an_acknowledged_message_is_missing_or_was_never_reported() {
    assert_eq!(
        HistoryBuilder::with_proven_message().post(201).broken(),
        ["I1"],
        "not in the store"
    );
    assert_eq!(
        HistoryBuilder::with_proven_message().stored(SID, "pending", None).broken(),
        ["I1"],
        "the proof was acknowledged"
    );
    assert_eq!(
        HistoryBuilder::with_proven_message().stored(SID, "reported", None).broken(),
        ["I1"],
        "never posted"
    );
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(
        history.post(500).stored(SID, "refused", Some(500)).broken(),
        ["I1"],
        "for no good reason"
    );
    let mut history = HistoryBuilder::with_proven_message();
    let half = history.post(201).events.last_mut().expect("a reply");
    half.kind = EventKind::Replied { post: 2, whole: false };
    assert_eq!(history.stored(SID, "reported", None).broken(), ["I1"], "the reply was incomplete");
}

#[test]
fn i1_an_unacknowledged_message_may_be_missing() {
    let mut history = HistoryBuilder::new();
    history.request(Role::Honest, SID, REGISTERS, Some(503));
    history.request(Role::Honest, SID, BOTH, None);
    assert_eq!(history.broken(), NONE);
}

#[test]
fn i2_an_unproven_message_is_posted() {
    let mut history = HistoryBuilder::new();
    history.request(Role::Honest, SID, REGISTERS, Some(201));
    history.request(Role::Honest, SID, PROVES, Some(503));
    assert_eq!(history.post(201).stored(SID, "reported", None).broken(), ["I2"]);
    let mut history = HistoryBuilder::new();
    history.request(Role::Honest, SID, REGISTERS, Some(201)).post(201);
    history.request(Role::Honest, SID, PROVES, Some(200));
    assert_eq!(history.stored(SID, "reported", None).broken(), ["I2"], "before it was proven");
}

#[test]
fn i3_a_repeat_without_a_fault() {
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(history.post(201).post(201).stored(SID, "reported", None).broken(), ["I3"]);
    let mut history = HistoryBuilder::with_proven_message();
    history.post(201).fault("SIGKILL").post(201);
    assert_eq!(
        history.stored(SID, "reported", None).broken(),
        NONE,
        "killed before it was written"
    );
    let mut history = HistoryBuilder::with_proven_message();
    history.post(201).state("reported").state("reported").fault("SIGKILL").post(201);
    assert_eq!(history.stored(SID, "reported", None).broken(), ["I3"], "killed long after");
}

#[test]
fn i4_a_post_has_another_account_or_its_secret() {
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(history.post_of(SID, "AC2", 201, 0).stored(SID, "reported", None).broken(), ["I4"]);
    let mut history = HistoryBuilder::with_proven_message();
    history.post(201).stored(SID, "reported", None);
    for event in &mut history.events {
        if let EventKind::Posted { credential, .. } = &mut event.kind {
            *credential = Credential::Wrong;
        }
    }
    assert_eq!(history.broken(), ["I4"]);
}

#[test]
fn i5_a_forged_request_is_accepted_or_an_honest_one_rejected() {
    let mut history = HistoryBuilder::new();
    assert_eq!(history.request(Role::Hostile, FORGED, (false, false), Some(200)).broken(), ["I5"]);
    let mut history = HistoryBuilder::new();
    history.request(Role::Hostile, FORGED, (false, false), Some(403));
    assert_eq!(history.stored(FORGED, "pending", None).broken(), ["I5"]);
    let mut history = HistoryBuilder::new();
    assert_eq!(history.request(Role::Honest, SID, REGISTERS, Some(403)).broken(), ["I5"]);
    let mut history = HistoryBuilder::new();
    assert_eq!(history.request(Role::Honest, SID, REGISTERS, Some(503)).broken(), NONE);
}

#[test]
fn i6_a_post_precedes_its_retry_after_or_follows_a_final_refusal() {
    let mut history = HistoryBuilder::with_proven_message();
    let history = history.post_of(SID, ACCOUNT, 503, 30).post(201);
    assert_eq!(history.stored(SID, "reported", None).broken(), ["I6"]);
    let mut history = HistoryBuilder::with_proven_message();
    assert_eq!(history.post(400).post(400).stored(SID, "refused", Some(400)).broken(), ["I6"]);
}

#[test]
fn i6_more_posts_at_a_time_than_allowed() {
    let mut history = HistoryBuilder::with_proven_message();
    for post in 90..93 {
        let (account, sid, credential) = (ACCOUNT.to_owned(), SID.to_owned(), Credential::Right);
        history.push(EventKind::Posted { post, run: 1, account, sid, credential });
    }
    for post in 90..93 {
        history.push(EventKind::Decided {
            post,
            answer: "so".to_owned(),
            status: 500,
            retry_after: 0,
        });
        history.push(EventKind::Replied { post, whole: true });
    }
    assert_eq!(history.post(201).stored(SID, "reported", None).broken(), ["I6"]);
}

#[test]
fn i6_a_throttled_account_is_posted_for() {
    let other = SID.replace("01", "02");
    let mut history = HistoryBuilder::with_proven_message();
    history.request(Role::Honest, &other, BOTH, Some(200));
    history.post_of(SID, ACCOUNT, 429, 9).state("confirmed").post_of(&other, ACCOUNT, 201, 0);
    for _ in 0..9 {
        history.state("confirmed");
    }
    history.post(201).stored(SID, "reported", None).stored(&other, "reported", None);
    assert_eq!(history.broken(), ["I6"]);
}

#[test]
fn i7_a_state_goes_back() {
    let mut history = HistoryBuilder::with_proven_message();
    history.state("confirmed").state("pending");
    assert_eq!(history.post(201).stored(SID, "reported", None).broken(), ["I7"]);
    let mut history = HistoryBuilder::with_proven_message();
    history.state("none");
    assert_eq!(history.post(201).stored(SID, "reported", None).broken(), ["I7"], "acknowledged");
}

#[test]
fn i8_a_slow_start_or_an_unexpected_end() {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    for _ in 0..6 {
        history.fault("SIGSTOP");
    }
    assert_eq!(history.push(EventKind::Ready { run: 1 }).broken(), ["I8"]);
    let how = "a panic".to_owned();
    assert_eq!(
        HistoryBuilder::new().push(EventKind::Ended { run: 1, how, expected: false }).broken(),
        ["I8"]
    );
}

#[test]
fn i9_a_marker_leaks_or_memory_grows() {
    let (location, kind) = ("the log".to_owned(), "a secret".to_owned());
    assert_eq!(HistoryBuilder::new().push(EventKind::Leak { location, kind }).broken(), ["I9"]);
    for location in
        ["an answer's body", "the store after a kill: db", "the backup: heardback.backup"]
    {
        let (location, kind) = (location.to_owned(), "a person's number".to_owned());
        assert_eq!(HistoryBuilder::new().push(EventKind::Leak { location, kind }).broken(), ["I9"]);
    }
    let big = EventKind::Sample { run: 1, rss_kib: 1 << 30, fds: 10 };
    assert_eq!(HistoryBuilder::new().push(big).broken(), ["I9"]);
}

#[test]
fn i10_the_backlog_stays_or_the_history_is_incomplete() {
    let mut history = HistoryBuilder::with_proven_message();
    history.push(EventKind::Healed).push(EventKind::Drained { outbox: 1 }).stored(
        SID,
        "confirmed",
        None,
    );
    history.push(EventKind::StoreRead { messages: 1 });
    let findings = judge(&Facts::of(&history.events));
    assert!(findings.iter().any(|it| it.id == "I10" && !it.broken.is_empty()));
    let whole = HistoryBuilder::with_proven_message();
    let findings = judge(&Facts::of(&whole.events));
    assert!(findings.iter().any(|it| it.id == "I10" && !it.broken.is_empty()));
}

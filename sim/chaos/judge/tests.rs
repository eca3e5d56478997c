//! The judge can find fault: small forged histories, each with one promise broken, and the same with
//! none.

mod excuses;
mod fairness;

use super::*;
use crate::history::{Credential, Event, Role, What};
use crate::judge::facts::SECOND;

const ACCOUNT: &str = "AC1";
const SID: &str = "SMa1000000000000000000000000000001";
const FORGED: &str = "SMc3000000000000000000000000000001";

/// A history in the making; each line is a second after the one before.
#[derive(Default)]
struct Tale {
    events: Vec<Event>,
    next: u64,
}

impl Tale {
    fn new() -> Self {
        let mut tale = Self::default();
        tale.tell(What::Plan { seed: 1, concurrency: 2, drain_seconds: 60 });
        tale
    }

    /// A start, and a message that is known and proven.
    fn of_a_pair() -> Self {
        let mut tale = Self::new();
        tale.tell(What::Started { run: 1 });
        tale.tell(What::Ready { run: 1 });
        tale.request(Role::Honest, SID, (true, false), Some(201));
        tale.request(Role::Honest, SID, (false, true), Some(200));
        tale
    }

    fn tell(&mut self, what: What) -> &mut Self {
        let at = self.events.last().map_or(0, |event| event.at) + SECOND;
        self.events.push(Event { at, what });
        self
    }

    fn request(
        &mut self,
        role: Role,
        sid: &str,
        claims: (bool, bool),
        status: Option<u16>,
    ) -> &mut Self {
        self.signal("x", role, sid, claims, status)
    }

    fn signal(
        &mut self,
        kind: &str,
        role: Role,
        sid: &str,
        (remembers, proves): (bool, bool),
        status: Option<u16>,
    ) -> &mut Self {
        let req = self.next;
        self.next += 1;
        let (kind, account, sid) = (kind.to_owned(), ACCOUNT.to_owned(), sid.to_owned());
        self.tell(What::Sent { req, role, kind, account, sid, remembers, proves });
        match status {
            Some(status) => self.tell(What::Answered { req, status, port: 1 }),
            None => self.tell(What::Unknown { req, why: "broke".to_owned() }),
        }
    }

    fn post_of(&mut self, sid: &str, account: &str, status: u16, after: u64) -> &mut Self {
        let post = self.next;
        self.next += 1;
        let (account, credential) = (account.to_owned(), Credential::Right);
        self.tell(What::Posted { post, run: 1, account, sid: sid.to_owned(), credential });
        let answer = "so".to_owned();
        self.tell(What::Decided { post, answer, status, retry_after: after });
        self.tell(What::Told { post, whole: true })
    }

    fn post(&mut self, status: u16) -> &mut Self {
        self.post_of(SID, ACCOUNT, status, 0)
    }

    fn fault(&mut self, act: &str) -> &mut Self {
        let id = self.next;
        self.next += 1;
        self.tell(What::Act { id, act: act.to_owned() });
        self.tell(What::ActEnded { id })
    }

    fn kept(&mut self, sid: &str, state: &str, status: Option<u16>) -> &mut Self {
        let (sid, account) = (sid.to_owned(), ACCOUNT.to_owned());
        self.tell(What::Kept { sid, account, state: state.to_owned(), status })
    }

    fn look(&mut self, state: &str) -> &mut Self {
        let from = self.events.last().map_or(0, |event| event.at) + SECOND / 2;
        self.tell(What::Looked { sid: SID.to_owned(), from, state: state.to_owned() })
    }

    /// Comes to its end; says which promises are broken.
    fn broken(&mut self) -> Vec<&'static str> {
        self.tell(What::Healed);
        self.tell(What::Drained { outbox: 0 });
        self.tell(What::Read { messages: 1 });
        let findings = judge(&Facts::of(&self.events));
        findings.iter().filter(|it| !it.broken.is_empty()).map(|it| it.id).collect()
    }
}

const NONE: [&str; 0] = [];

#[test]
fn a_pair_that_is_posted_once_breaks_nothing() {
    let mut tale = Tale::of_a_pair();
    assert_eq!(
        tale.look("pending").post(201).look("reported").kept(SID, "reported", None).broken(),
        NONE
    );
    let mut tale = Tale::of_a_pair();
    assert_eq!(tale.post(404).kept(SID, "refused", Some(404)).broken(), NONE);
}

#[test]
fn i1_what_was_acknowledged_is_gone_or_was_never_reported() {
    assert_eq!(Tale::of_a_pair().post(201).broken(), ["I1"], "not in the store");
    assert_eq!(Tale::of_a_pair().kept(SID, "pending", None).broken(), ["I1"], "its proof is");
    assert_eq!(Tale::of_a_pair().kept(SID, "reported", None).broken(), ["I1"], "never posted");
    let mut tale = Tale::of_a_pair();
    assert_eq!(
        tale.post(500).kept(SID, "refused", Some(500)).broken(),
        ["I1"],
        "for no good reason"
    );
    let mut tale = Tale::of_a_pair();
    let half = tale.post(201).events.last_mut().expect("told");
    half.what = What::Told { post: 2, whole: false };
    assert_eq!(tale.kept(SID, "reported", None).broken(), ["I1"], "nobody can have heard that");
}

#[test]
fn i1_what_nobody_was_told_may_be_gone() {
    let mut tale = Tale::new();
    tale.request(Role::Honest, SID, (true, false), Some(503));
    tale.request(Role::Honest, SID, (true, true), None);
    assert_eq!(tale.broken(), NONE);
}

#[test]
fn i2_what_nobody_proved_is_posted() {
    let mut tale = Tale::new();
    tale.request(Role::Honest, SID, (true, false), Some(201));
    tale.request(Role::Honest, SID, (false, true), Some(503));
    assert_eq!(tale.post(201).kept(SID, "reported", None).broken(), ["I2"]);
    let mut tale = Tale::new();
    tale.request(Role::Honest, SID, (true, false), Some(201)).post(201);
    tale.request(Role::Honest, SID, (false, true), Some(200));
    assert_eq!(tale.kept(SID, "reported", None).broken(), ["I2"], "before it was proven");
}

#[test]
fn i3_a_repeat_without_a_fault() {
    let mut tale = Tale::of_a_pair();
    assert_eq!(tale.post(201).post(201).kept(SID, "reported", None).broken(), ["I3"]);
    let mut tale = Tale::of_a_pair();
    tale.post(201).fault("SIGKILL").post(201);
    assert_eq!(tale.kept(SID, "reported", None).broken(), NONE, "killed before it was written");
    let mut tale = Tale::of_a_pair();
    tale.post(201).look("reported").look("reported").fault("SIGKILL").post(201);
    assert_eq!(tale.kept(SID, "reported", None).broken(), ["I3"], "killed long after");
}

#[test]
fn i4_another_account_is_spoken_for() {
    let mut tale = Tale::of_a_pair();
    assert_eq!(tale.post_of(SID, "AC2", 201, 0).kept(SID, "reported", None).broken(), ["I4"]);
    let mut tale = Tale::of_a_pair();
    tale.post(201).kept(SID, "reported", None);
    for event in &mut tale.events {
        if let What::Posted { credential, .. } = &mut event.what {
            *credential = Credential::Wrong;
        }
    }
    assert_eq!(tale.broken(), ["I4"]);
}

#[test]
fn i5_a_forgery_is_let_in_or_an_honest_request_kept_out() {
    let mut tale = Tale::new();
    assert_eq!(tale.request(Role::Hostile, FORGED, (false, false), Some(200)).broken(), ["I5"]);
    let mut tale = Tale::new();
    tale.request(Role::Hostile, FORGED, (false, false), Some(403));
    assert_eq!(tale.kept(FORGED, "pending", None).broken(), ["I5"]);
    let mut tale = Tale::new();
    assert_eq!(tale.request(Role::Honest, SID, (true, false), Some(403)).broken(), ["I5"]);
    let mut tale = Tale::new();
    assert_eq!(tale.request(Role::Honest, SID, (true, false), Some(503)).broken(), NONE);
}

#[test]
fn i6_a_wait_is_cut_short_or_a_last_word_not_heard() {
    let mut tale = Tale::of_a_pair();
    let tale = tale.post_of(SID, ACCOUNT, 503, 30).post(201);
    assert_eq!(tale.kept(SID, "reported", None).broken(), ["I6"]);
    let mut tale = Tale::of_a_pair();
    assert_eq!(tale.post(400).post(400).kept(SID, "refused", Some(400)).broken(), ["I6"]);
}

#[test]
fn i6_more_posts_at_a_time_than_allowed() {
    let mut tale = Tale::of_a_pair();
    for post in 90..93 {
        let (account, sid, credential) = (ACCOUNT.to_owned(), SID.to_owned(), Credential::Right);
        tale.tell(What::Posted { post, run: 1, account, sid, credential });
    }
    for post in 90..93 {
        tale.tell(What::Decided { post, answer: "so".to_owned(), status: 500, retry_after: 0 });
        tale.tell(What::Told { post, whole: true });
    }
    assert_eq!(tale.post(201).kept(SID, "reported", None).broken(), ["I6"]);
}

#[test]
fn i6_an_account_that_is_held_is_posted_for() {
    let other = SID.replace("01", "02");
    let mut tale = Tale::of_a_pair();
    tale.request(Role::Honest, &other, (true, true), Some(200));
    tale.post_of(SID, ACCOUNT, 429, 9).look("confirmed").post_of(&other, ACCOUNT, 201, 0);
    for _ in 0..9 {
        tale.look("confirmed");
    }
    tale.post(201).kept(SID, "reported", None).kept(&other, "reported", None);
    assert_eq!(tale.broken(), ["I6"]);
}

#[test]
fn i7_a_state_is_taken_back() {
    let mut tale = Tale::of_a_pair();
    tale.look("confirmed").look("pending");
    assert_eq!(tale.post(201).kept(SID, "reported", None).broken(), ["I7"]);
    let mut tale = Tale::of_a_pair();
    tale.look("none");
    assert_eq!(tale.post(201).kept(SID, "reported", None).broken(), ["I7"], "acknowledged");
}

#[test]
fn i8_a_slow_start_or_an_end_of_its_own() {
    let mut tale = Tale::new();
    tale.tell(What::Started { run: 1 });
    for _ in 0..6 {
        tale.fault("SIGSTOP");
    }
    assert_eq!(tale.tell(What::Ready { run: 1 }).broken(), ["I8"]);
    let how = "a panic".to_owned();
    assert_eq!(Tale::new().tell(What::Ended { run: 1, how, asked: false }).broken(), ["I8"]);
}

#[test]
fn i9_a_canary_sings_or_memory_grows() {
    let (place, what) = ("the log".to_owned(), "a secret".to_owned());
    assert_eq!(Tale::new().tell(What::Leak { place, what }).broken(), ["I9"]);
    for place in ["an answer's body", "the store after a kill: db", "the backup: heardback.backup"]
    {
        let (place, what) = (place.to_owned(), "a person's number".to_owned());
        assert_eq!(Tale::new().tell(What::Leak { place, what }).broken(), ["I9"]);
    }
    let big = What::Sample { run: 1, rss_kib: 1 << 30, fds: 10 };
    assert_eq!(Tale::new().tell(big).broken(), ["I9"]);
}

#[test]
fn i10_a_backlog_that_stays_or_a_history_that_breaks_off() {
    let mut tale = Tale::of_a_pair();
    tale.tell(What::Healed).tell(What::Drained { outbox: 1 }).kept(SID, "confirmed", None);
    tale.tell(What::Read { messages: 1 });
    let findings = judge(&Facts::of(&tale.events));
    assert!(findings.iter().any(|it| it.id == "I10" && !it.broken.is_empty()));
    let whole = Tale::of_a_pair();
    let findings = judge(&Facts::of(&whole.events));
    assert!(findings.iter().any(|it| it.id == "I10" && !it.broken.is_empty()));
}

//! Test data for matching and the stores: signals, a clock, a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use heardback::domain::address::{Address, Recipient, RecipientHashKey};
use heardback::domain::click_link::{Link, LinkTarget, LinkToken, TOKEN_BYTES};
use heardback::domain::matching::{ObserveOutcome, Policy, Reason};
use heardback::domain::message::{Reference, State, Status};
use heardback::domain::sid::{AccountSid, MessageSid, ServiceSid};
use heardback::domain::signal::{
    DedupId, Evidence, EvidenceTarget, MessageUpdate, SenderHint, Signal, SignalSource, TimeSource,
};
use heardback::store::sled::{OpenError, Options, SledStore};
use heardback::store::{Clock, Filter, Select, Store};
use jiff::Timestamp;

use crate::harness::LONG;
use crate::support::store::default_policy;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// This many seconds after the start of the tests' time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).expect("a time")
}

/// A clock that the test sets.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
    pub(crate) fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || at(seconds.load(Ordering::SeqCst)))
    }
}

pub(crate) fn account() -> AccountSid {
    AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid")
}
pub(crate) fn sid(n: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{n:032x}")).expect("valid")
}
pub(crate) fn service(n: u32) -> ServiceSid {
    ServiceSid::parse(&format!("MG{n:032x}")).expect("valid")
}
pub(crate) fn address(text: &str) -> Recipient {
    RecipientHashKey::new(b"test").recipient(account(), &Address::parse(text).expect("valid"))
}
pub(crate) fn person(n: u32) -> Recipient {
    address(&format!("+1555{n:07}"))
}
pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).expect("valid")
}
pub(crate) const SENDER: &str = "+15550009999";

pub(crate) fn policy() -> Policy {
    default_policy()
}

/// Lists the messages in a state.
pub(crate) fn in_state(state: State) -> Filter {
    Filter::Messages(Select { state: Some(state), ..Select::default() })
}

/// Lists the messages that were passed over because another message of their reference was confirmed.
pub(crate) fn superseded() -> Filter {
    Filter::Messages(Select { superseded: true, ..Select::default() })
}

/// A registration: message `n` to person 1 from [`SENDER`], created and first seen at that second.
pub(crate) fn registered(n: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate {
        sid: sid(n),
        account: account(),
        tracked: true,
        strict: true,
        by_twilio: false,
        recipient: Some(person(1)),
        number: None,
        names: None,
        from: Some(SENDER.to_owned()),
        service: None,
        reference: None,
        status: None,
        error_code: None,
        code: None,
        link: None,
        created_at: Some(at(seconds)),
        seen_at: at(seconds),
        trace: None,
    }
}

/// A status callback without a request for feedback.
pub(crate) fn status(n: u32, word: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate {
        tracked: false,
        strict: false,
        by_twilio: true,
        created_at: None,
        status: Some(Status::parse(word).expect("Twilio's word")),
        ..registered(n, seconds)
    }
}

pub(crate) fn evidence(target: EvidenceTarget, seconds: i64) -> Evidence {
    Evidence {
        account: account(),
        target,
        label: "reply".to_owned(),
        occurred_at: at(seconds),
        time_source: TimeSource::Exact,
        source: SignalSource::App,
    }
}

pub(crate) fn signal(target: EvidenceTarget, seconds: i64) -> Signal {
    Signal {
        source: SignalSource::App,
        dedup_ids: Vec::new(),
        code: None,
        evidence: Ok(evidence(target, seconds)),
        names: None,
        message_update: None,
        seen_at: at(seconds),
        trace: None,
    }
}

pub(crate) fn token(n: u8) -> LinkToken {
    LinkToken::from_random([n; TOKEN_BYTES])
}

/// A click link created at that second, not yet in a message.
pub(crate) fn link(name: Option<&str>, seconds: i64) -> Link {
    let target = LinkTarget::parse("https://example.com/welcome").expect("valid");
    let reference = name.map(reference);
    Link { account: account(), target, message: None, reference, created_at: at(seconds) }
}

/// A visit of link `n`.
pub(crate) fn clicked(n: u8, seconds: i64) -> Signal {
    let mut clicked = signal(EvidenceTarget::Link(token(n).id()), seconds);
    clicked.evidence.as_mut().expect("evidence").source = SignalSource::Link;
    Signal { source: SignalSource::Link, ..clicked }
}

/// An app's event that names a message, without other details.
pub(crate) fn direct(n: u32, seconds: i64) -> Signal {
    signal(EvidenceTarget::Message(sid(n)), seconds)
}

pub(crate) fn shared(name: &str, seconds: i64) -> Signal {
    signal(EvidenceTarget::Reference(reference(name)), seconds)
}

/// An act of this recipient toward a sender.
pub(crate) fn acted(from: Recipient, sender: Option<&str>, seconds: i64) -> Signal {
    let sender = SenderHint { address: sender.map(str::to_owned), service: None };
    signal(EvidenceTarget::Person { recipient: from, sender }, seconds)
}

/// A reply of person 1 to [`SENDER`]; `n` names the inbound message.
pub(crate) fn reply(n: u32, seconds: i64) -> Signal {
    texted(n, acted(person(1), Some(SENDER), seconds))
}

/// The same act as an inbound message with number `n`.
pub(crate) fn texted(n: u32, mut act: Signal) -> Signal {
    act.evidence.as_mut().expect("evidence").source = SignalSource::Reply;
    Signal {
        source: SignalSource::Reply,
        dedup_ids: vec![DedupId::Message(sid(0xface_0000 + n))],
        ..act
    }
}

/// The same act with this source of its time.
pub(crate) fn timed(mut act: Signal, time_source: TimeSource) -> Signal {
    act.evidence.as_mut().expect("evidence").time_source = time_source;
    act
}

/// The reason why a signal confirmed nothing.
pub(crate) fn reason(observed: &ObserveOutcome) -> Option<Reason> {
    match observed {
        ObserveOutcome::Parked { reason, .. } | ObserveOutcome::NotConfirmed(reason) => {
            Some(*reason)
        }
        ObserveOutcome::Confirmed(_) | ObserveOutcome::AlreadyConfirmed(_) => None,
    }
}

pub(crate) fn options(folder: &Path, clock: Clock) -> Options {
    Options {
        lock_timeout: Duration::from_millis(300),
        free_space: Arc::new(|| Ok(1 << 40)),
        on_fatal: Arc::new(|failure| panic!("the store gave up: {failure:?}")),
        ..Options::new(folder, policy(), clock)
    }
}

pub(crate) fn sled(folder: &Path, clock: Clock) -> Arc<dyn Store> {
    Arc::new(try_sled(folder, clock).expect("it opens"))
}

pub(crate) fn try_sled(folder: &Path, clock: Clock) -> Result<SledStore, OpenError> {
    SledStore::open(options(folder, clock))
}

/// Opens the folder with sled alone, without Heardback's locks. sled does not wait for its lock, which a process that
/// another test has forked may hold until its exec.
pub(crate) fn raw_sled(folder: &Path) -> ::sled::Db {
    let deadline = Instant::now() + LONG;
    loop {
        match ::sled::open(folder) {
            Ok(db) => return db,
            Err(::sled::Error::Io(error)) if Instant::now() < deadline => {
                assert!(error.to_string().contains("acquire lock"), "{error}");
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Err(error) => panic!("sled cannot open {}: {error}", folder.display()),
        }
    }
}

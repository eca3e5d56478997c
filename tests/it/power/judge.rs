//! The check of an image: the real store opens it, and every fact acknowledged before the cut must
//! be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::click_link::LinkToken;
use heardback::domain::matching::{ObserveOutcome, Parked, Reason};
use heardback::domain::message::{Message, State, Status};
use heardback::domain::sid::MessageSid;
use heardback::domain::signal::{
    DedupId, Evidence, EvidenceTarget, SenderHint, Signal, SignalSource, TimeSource,
};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Clock, Filter, ListEntry, Store};
use jiff::Timestamp;

use crate::given;
use crate::harness;
use crate::power::traffic::{Fact, person, reference};

/// This many counted replies are sent again, latest first; each costs a sync.
const REPEATED: usize = 8;

/// The facts that a store must have, and those that it may have.
pub(super) struct Expected<'a> {
    /// Answered before the cut.
    pub(super) facts: Vec<&'a Fact>,
    /// Sent before the cut, answered or not.
    pub(super) sent: BTreeSet<MessageSid>,
}

/// The result of an image.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The store opens and has every fact.
    Sound,
    /// The store does not open.
    Closed(String),
    /// The store opens and lacks a fact.
    Lost(Vec<String>),
}

pub(super) fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&harness::sid(number)).expect("valid")
}

fn clock() -> Clock {
    Arc::new(Timestamp::now)
}

pub(super) fn judge(folder: &Path, expected: &Expected<'_>) -> Verdict {
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
        SledStore::open(Options {
            lock_timeout: Duration::from_secs(2),
            ..given::options(folder, clock())
        })
    }));
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => return Verdict::Closed(error.to_string()),
        Err(_) => return Verdict::Closed("a panic".to_owned()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let lost = runtime.block_on(async {
        let lost = Found::read(&store).await.compare(expected, &store).await;
        store.close().await;
        lost
    });
    if lost.is_empty() { Verdict::Sound } else { Verdict::Lost(lost) }
}

/// All listed records of a store.
struct Found {
    messages: BTreeMap<MessageSid, Message>,
    parked: Vec<Parked>,
}

impl Found {
    async fn read(store: &SledStore) -> Self {
        let mut found = Self { messages: BTreeMap::new(), parked: Vec::new() };
        for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
            let mut cursor = None;
            loop {
                let page = store.list(filter, cursor, 1000).await.expect("listed");
                for entry in page.entries {
                    match entry {
                        ListEntry::Message(message) => {
                            found.messages.insert(message.sid, *message);
                        }
                        ListEntry::Parked(parked) => found.parked.push(*parked),
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        found
    }

    /// The facts that are missing, and records that should not exist.
    async fn compare(&self, expected: &Expected<'_>, store: &SledStore) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut counted = Vec::new();
        for fact in &expected.facts {
            let holds = match fact {
                Fact::State { number, state } => self.reached(*number, state),
                Fact::Delivered { number } => self.is_delivered(*number),
                Fact::Waits { number } => self.waits(*number) || self.is_proven(*number),
                Fact::Link { token, within } => has_link(store, token, *within).await,
                Fact::Counted { inbound, number } => {
                    counted.push((*inbound, *number));
                    true
                }
            };
            if !holds {
                wrong.push(format!("{fact:?}"));
            }
        }
        for (inbound, number) in counted.into_iter().rev().take(REPEATED) {
            let again = store.observe(reply_again(inbound, number, store)).await;
            if again != Ok(ObserveOutcome::NotConfirmed(Reason::Duplicate)) {
                wrong.push(format!("the reply {inbound:x} is no longer known: {again:?}"));
            }
        }
        let never_sent = self.messages.keys().filter(|sid| !expected.sent.contains(sid));
        wrong.extend(never_sent.map(|sid| format!("{sid} was never sent")));
        if let Err(error) = store.health().await {
            wrong.push(format!("the store accepts no message: {error}"));
        }
        wrong
    }

    fn reached(&self, number: u32, state: &str) -> bool {
        let Some(found) = self.messages.get(&sid(number)) else { return false };
        let is_final = state == "reported" || state == "refused";
        if is_final { found.state.as_str() == state } else { rank(found.state) >= rank_of(state) }
    }

    fn is_delivered(&self, number: u32) -> bool {
        let found = self.messages.get(&sid(number));
        found.is_some_and(|message| message.status == Some(Status::Delivered))
    }

    fn is_proven(&self, number: u32) -> bool {
        let found = self.messages.get(&sid(number));
        found.is_some_and(|message| rank(message.state) >= rank_of("confirmed"))
    }

    fn waits(&self, number: u32) -> bool {
        let named = EvidenceTarget::Reference(given::reference(&reference(number)));
        self.parked.iter().any(|parked| parked.evidence.target == named)
    }
}

async fn has_link(store: &SledStore, token: &str, within: Option<u32>) -> bool {
    let id = LinkToken::parse(token).expect("a token").id();
    let link = store.link(id).await.expect("looked up");
    link.is_some_and(|link| within.is_none_or(|number| link.message == Some(sid(number))))
}

/// The counted reply, once more.
fn reply_again(inbound: u32, number: u32, store: &SledStore) -> Signal {
    let address = heardback::domain::address::Address::parse(&person(number)).expect("valid");
    let recipient = store.recipient_hash_key().recipient(given::account(), &address);
    let sender = SenderHint { address: Some(harness::SENDER.to_owned()), service: None };
    let target = EvidenceTarget::Person { recipient, sender };
    let seen_at = clock()();
    let (label, occurred_at) = ("reply".to_owned(), seen_at);
    Signal {
        source: SignalSource::Reply,
        dedup_ids: vec![DedupId::Message(sid(inbound))],
        code: None,
        evidence: Ok(Evidence {
            account: given::account(),
            target,
            label,
            occurred_at,
            time_source: TimeSource::Exact,
            source: SignalSource::Reply,
        }),
        names: None,
        message_update: None,
        seen_at,
        trace: None,
    }
}

/// The rank of a state; a message never moves back.
fn rank(state: State) -> u8 {
    match state {
        State::Untracked | State::Pending | State::Expired | State::Undelivered => 1,
        State::Confirmed => 2,
        State::Reported | State::Refused => 3,
    }
}

fn rank_of(state: &str) -> u8 {
    let known = State::ALL.into_iter().find(|known| known.as_str() == state);
    rank(known.expect("a state"))
}

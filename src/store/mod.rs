//! The seam: what the rest of the house may ask of a store, whatever is behind it.
//!
//! Every verb that changes something is durable on return: it survives a power cut. Judgement is
//! not a backend's business; each of them loads the rows that a command touches, calls
//! [`crate::domain::matching`], and writes what it says.

mod clock;
pub mod sled;
mod transfer;

pub use clock::{ClockGuard, OnJump, Uptime};
pub use transfer::{ExportRecord, ImportOutcome, Reconsidered, Records};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::feedback::{Claim, Lease, Settlement};
use crate::domain::matching::{Contradiction, ObserveOutcome, Parked, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::MessageStats;

/// Tells the time. Injected, so that tests own it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What one account may have claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Attempts of the account that are under way. The account with the fewest comes first.
    pub under_way: usize,
    /// How many more may be claimed. An account with zero is passed over.
    pub free: usize,
    /// How many of them may be messages whose last attempt got a 404.
    pub missing: usize,
    /// Attempts of the account that were begun before. It decides which message's turn it is.
    pub begun: usize,
}

impl Quota {
    const UNLIMITED: Self = Self { under_way: 0, free: usize::MAX, missing: usize::MAX, begun: 0 };
}

/// What each account may have claimed. An account that is not named has no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// How many accounts without an attempt under way may have one each beyond the limit of a claim.
    pub own_slots: usize,
    /// The accounts with a limit.
    pub by_account: BTreeMap<AccountSid, Quota>,
}

impl Quotas {
    fn of(&self, account: AccountSid) -> Quota {
        self.by_account.get(&account).copied().unwrap_or(Quota::UNLIMITED)
    }
}

/// The number of further attempts of each account; no attempt is under way.
impl<const N: usize> From<[(AccountSid, usize); N]> for Quotas {
    fn from(limits: [(AccountSid, usize); N]) -> Self {
        let quota = |free| Quota { under_way: 0, free, missing: free, begun: 0 };
        let by_account = limits.map(|(account, free)| (account, quota(free))).into();
        Self { own_slots: 0, by_account }
    }
}

/// Commands that may wait for the thread that writes. A store refuses further ones at once, as `busy`.
pub const QUEUE: usize = 1024;

/// The label of [`StoreError::Unavailable`] for an account at its share of parked evidence.
pub const MAX_PARKED_LABEL: &str = "max_parked";

/// Why a verb was not carried out. In every case nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not now: answer 503 and ask to come back.
    #[error("{reason}")]
    Unavailable {
        /// What is the matter, for the operator.
        reason: String,
        /// The same as a metric's label.
        label: &'static str,
    },
    /// It contradicts what is known.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// What [`Store::settle`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The attempt was ours to end, and has ended so.
    Applied,
    /// The lease had lapsed: somebody else tries, or has tried. Nothing changed.
    LeaseLost,
}

/// Which messages [`Store::requeue`] puts back into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueFrom {
    Refused,
    /// A message reported at this time or later: its post may have gone to the wrong server.
    ReportedSince(Timestamp),
}

impl RequeueFrom {
    /// Whether a message is to be put back.
    #[must_use]
    pub fn takes(self, message: &Message) -> bool {
        match self {
            Self::Refused => message.state == State::Refused,
            Self::ReportedSince(since) => {
                message.state == State::Reported
                    && message.reported_at.is_some_and(|at| at >= since)
            }
        }
    }
}

/// What [`Store::requeue`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// The message will be posted again.
    Queued(Box<Message>),
    /// The message is in this state, and is not to be put back.
    Otherwise(State),
    /// There is no such message.
    Unknown,
}

/// What [`Store::expire`] did in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pending messages that have expired.
    pub expired: usize,
    /// Parked evidence whose message never came.
    pub orphaned: usize,
    /// Messages confirmed by evidence that had waited for a newer message.
    pub confirmed: usize,
    /// Finished messages removed after their retention.
    pub messages: usize,
    /// Orphaned evidence removed.
    pub evidence: usize,
    /// Click links removed.
    pub links: usize,
    /// Removed marks: of counted replies, calls and events, of automatic replies, and of tied names.
    pub marks: usize,
    /// Messages evicted since the last step, because the store was full and a new message came.
    pub evicted: usize,
    /// Whether the step came to the end of the store; the next one starts over.
    pub complete: bool,
}

impl Swept {
    /// All records that the sweep removed.
    #[must_use]
    pub fn forgotten(&self) -> usize {
        self.messages + self.evidence + self.links + self.marks
    }

    /// The counts by kind, for a log line and a metric.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, usize); 7] {
        [
            ("expired", self.expired),
            ("orphaned", self.orphaned),
            ("messages", self.messages),
            ("evidence", self.evidence),
            ("links", self.links),
            ("marks", self.marks),
            ("evicted", self.evicted),
        ]
    }
}

impl std::ops::AddAssign for Swept {
    /// Adds the counts of a later step.
    fn add_assign(&mut self, step: Self) {
        self.expired += step.expired;
        self.orphaned += step.orphaned;
        self.confirmed += step.confirmed;
        self.messages += step.messages;
        self.evidence += step.evidence;
        self.links += step.links;
        self.marks += step.marks;
        self.evicted += step.evicted;
        self.complete = step.complete;
    }
}

/// What [`Store::forget`] erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Messages to them.
    pub messages: u64,
    /// Those of them that were confirmed and not yet reported: Twilio will not hear of these.
    pub unreported: u64,
    /// Evidence that waited.
    pub evidence: u64,
    /// Click links.
    pub links: u64,
    /// Other people's messages that bore the same references, and bear none now.
    pub references: u64,
}

/// Which messages are asked for: those of which all of it is true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// In this state.
    pub state: Option<State>,
    /// Passed over because another one under their reference was confirmed.
    pub converted: bool,
    /// To a number with this calling code.
    pub calling_code: Option<u16>,
    /// Created then or later.
    pub created_from: Option<Timestamp>,
    /// Created before that.
    pub created_before: Option<Timestamp>,
    /// Refused with this error code of Twilio's.
    pub code: Option<u32>,
    /// Only messages reported at this time or later.
    pub reported_from: Option<Timestamp>,
}

impl Select {
    /// Whether a message, as it stands now, is asked for.
    #[must_use]
    pub fn takes(&self, message: &Message) -> bool {
        let calling_code = message.recipient.and_then(|recipient| recipient.calling_code);
        let code = message.refusal.as_ref().and_then(|refusal| refusal.code);
        self.state.is_none_or(|state| state == message.state)
            && (!self.converted || message.converted_by.is_some())
            && (self.calling_code.is_none() || self.calling_code == calling_code)
            && self.created_from.is_none_or(|from| message.created_at >= from)
            && self.created_before.is_none_or(|before| message.created_at < before)
            && (self.code.is_none() || self.code == code)
            && self
                .reported_from
                .is_none_or(|since| RequeueFrom::ReportedSince(since).takes(message))
    }
}

/// Which records [`Store::list`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// Messages.
    Messages(Select),
    /// Evidence that waits for its message.
    Parked,
    /// Evidence whose message never came.
    Orphaned,
}

impl Filter {
    #[must_use]
    pub fn messages() -> Self {
        Self::Messages(Select::default())
    }
}

/// A record of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListEntry {
    Message(Box<Message>),
    /// A piece of evidence without its message.
    Parked(Box<Parked>),
}

/// One page of [`Store::list`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    pub entries: Vec<ListEntry>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Messages by state, in the order of [`State::ALL`].
    pub messages: [u64; State::ALL.len()],
    /// Evidence that waits for its message.
    pub parked: u64,
    /// Evidence whose message never came.
    pub orphaned: u64,
    /// Click links, bound to a message or not.
    pub links: u64,
    /// Rows of parked evidence of the account with the most rows, briefly kept evidence included.
    pub parked_fullest: u64,
    /// The share of that account: beyond it, evidence that would be parked is refused. 0 without any parked evidence.
    pub parked_share: u64,
}

impl RecordCounts {
    /// How many messages are in a state.
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        let at = State::ALL.iter().position(|known| *known == state);
        at.and_then(|at| self.messages.get(at)).copied().unwrap_or(0)
    }

    /// All messages, whatever their state.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.messages.iter().sum()
    }
}

/// A backup while it is made: the pieces of its file, in order. How it is made is each backend's own
/// affair, and no verb of [`Store`]; whether it is whole, its own end says.
pub type BackupPieces = tokio::sync::mpsc::Receiver<Vec<u8>>;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key that turns recipients' addresses into persons.
    fn person_key(&self) -> &RecipientHashKey;

    /// The clock that decides which records have expired. A store expires and removes records by its trusted
    /// time only, even if the wall clock jumps.
    fn clock_guard(&self) -> &ClockGuard;

    /// A message was seen. Settles evidence that waited for it. In a full store a new message evicts a
    /// finished one ([`Policy::evictable_from`](crate::domain::matching::Policy::evictable_from)); if
    /// there is none, the new one is `Unavailable`.
    async fn remember(&self, sighting: MessageUpdate) -> Result<RegisterOutcome, StoreError>;

    /// A recipient did something.
    async fn observe(&self, signal: Signal) -> Result<ObserveOutcome, StoreError>;

    /// Keeps a click link; a message that bears it is bound to it when it is [remembered](Self::remember).
    /// Returns until when.
    async fn keep_link(&self, id: LinkId, link: Link) -> Result<Timestamp, StoreError>;

    /// What we know of a click link, as long as it is kept. A look: strangers ask, so whoever writes
    /// must not be held up by it; what is not durable yet, nobody was told of.
    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError>;

    /// Takes up to `limit` messages that are due, for one attempt each, within `lease`, and of no
    /// account more than its quota. Counts the attempt: a crash in the middle of it has burnt it.
    /// Each message goes to the account with the fewest attempts under way; among equal accounts, and among
    /// the messages of an account, the longest due come first. A message whose last attempt got a 404 comes after
    /// all others of its account.
    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Ends an attempt, if the lease still holds. `attempt` says how it went; `None` if nothing was sent.
    async fn settle(
        &self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> Result<SettleOutcome, StoreError>;

    /// How long until something is due of an account that has a quota left; zero if it is now, `None`
    /// if nothing waits.
    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError>;

    /// Completes when something new may be due. A hint: it may come for nothing, and a store that
    /// is shared with other processes may miss some. One that came since the last call counts.
    async fn changed(&self);

    /// Sweeps up to `limit` records: expires, orphans and forgets by the trusted time. Correctness never waits
    /// for it.
    async fn expire(&self, limit: usize) -> Result<Swept, StoreError>;

    /// A page of records from `cursor` on (from the start if `None`), at most `limit` of them.
    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError>;

    /// What we know of a message.
    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError>;

    /// The newest messages that bear a reference, of whichever account, at most so many, and
    /// of each account 64; the newest first.
    async fn messages_with_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// What is to be reported next, of all accounts, be it due or not; the soonest first. At most a hundred.
    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError>;

    /// What Twilio would not take, the latest first. At most a hundred.
    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError>;

    /// What all messages come to. A copy; its size is bounded by the retention, and by the number of senders
    /// that are told apart, not by that of messages.
    async fn census(&self) -> Result<MessageStats, StoreError>;

    /// Puts an account on hold: nothing of it is [claimed](Self::claim) until it is [resumed](Self::resume),
    /// be it by another process. What is under way goes on. Returns since when; that of before, if it was on
    /// hold already.
    async fn pause(&self, account: AccountSid) -> Result<Timestamp, StoreError>;

    /// Ends that. Returns since when it was on hold; `None` if it was not.
    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError>;

    /// The accounts on hold, and since when.
    async fn paused(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError>;

    /// Puts a message back into the queue, if `from` selects it. Its attempts are counted anew. The time of an
    /// earlier report stays in the record.
    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError>;

    /// Erases what concerns the people at these addresses ([`crate::domain::erasure`]), as far as it was
    /// known when this was asked; what was erased when it failed halfway stays erased. What was counted
    /// once stays counted, since that names nobody.
    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError>;

    /// A page of all that there is, from `cursor` on (from the start if `None`), at most `limit` records. A
    /// look, while others write; but evidence comes before the messages, so that what is settled in between
    /// is in one of them at least, and what was counted before both.
    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError>;

    /// Imports records of a store with the same [`person_key`](Self::person_key): all of them or none, so a few hundred
    /// at most. A missing record is added. A message that is here gets the facts that it lacks, and a state that is
    /// further along. Parked evidence stays parked until it is [reconsidered](Self::reconsider): a choice among messages
    /// needs all of them.
    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError>;

    /// Judges parked evidence and provisional confirmations anew, in up to `limit` rows from `cursor` on. It ends an
    /// import: only then are all messages here among which evidence chooses.
    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError>;

    /// Proves that the store can take an event, by writing something durably.
    async fn health(&self) -> Result<(), StoreError>;

    /// How many records there are. Cheap.
    fn counts(&self) -> RecordCounts;

    /// Commands that wait for the thread that writes, at most [`QUEUE`]. Cheap.
    fn queued(&self) -> usize;

    /// How many messages could be evicted now to make room for new ones.
    async fn evictable(&self) -> Result<u64, StoreError>;

    /// Finishes what was begun and lets go of the store. Every verb afterwards is `Unavailable`.
    async fn close(&self);
}

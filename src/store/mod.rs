//! The interface of a store, its commands and their outcomes.
//!
//! A command that changes something is durable when it returns: it survives a power cut. A backend only reads and writes
//! rows; `engine` decides ([`crate::domain::matching`] has the rules). `sled` and `postgres` are the backends.

mod clock;
mod counts;
pub mod engine;
mod error;
mod list;
mod outcome;
mod pool;
pub mod postgres;
mod quota;
pub mod sled;
mod transfer;

pub use clock::{Clock, ClockGuard, OnJump, Uptime};
pub use counts::RecordCounts;
pub use error::{MAX_PARKED_LABEL, StoreError};
pub use list::{Filter, ListEntry, ListPage, Select};
pub use outcome::{Forgotten, RequeueFrom, Requeued, SettleOutcome, Swept};
pub use pool::PoolFigures;
pub use quota::{Quota, Quotas};
pub use transfer::{ExportRecord, ImportOutcome, Presence, Reconsidered, Records};

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use secrecy::SecretSlice;

use crate::domain::account_block::{AccountBlock, AccountNews};
use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::feedback::{Claim, EndedAttempt, Lease, Settlement};
use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::MessageStats;

/// The most commands in the queue of the writer. A store refuses further ones with the label `busy`.
pub const QUEUE: usize = 1024;

/// The results of [`Store::settle_all`].
pub type SettleResults = Vec<Result<SettleOutcome, StoreError>>;

/// The pieces of a backup file, in order, while the backup is made. Only a file with its last piece is a backup.
pub type BackupFrames = tokio::sync::mpsc::Receiver<Vec<u8>>;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key of the recipients' hashes.
    fn recipient_hash_key(&self) -> &RecipientHashKey;

    /// The secret of [`recipient_hash_key`](Self::recipient_hash_key), if the store keeps it; `None` if its settings have it.
    fn own_recipient_hash_key(&self) -> Option<SecretSlice<u8>>;

    /// The clock that decides which records have expired. A store expires and removes records by its trusted
    /// time only, even if the wall clock jumps.
    fn clock_guard(&self) -> &ClockGuard;

    /// Stores facts about a message, and settles evidence that is parked for it. In a full store a new message evicts a
    /// finished one ([`Policy::evictable_from`](crate::domain::matching::Policy::evictable_from)). `Unavailable`
    /// if no message can be evicted.
    async fn remember(&self, sighting: MessageUpdate) -> Result<RegisterOutcome, StoreError>;

    /// Judges an act of a recipient.
    async fn observe(&self, signal: Signal) -> Result<ObserveOutcome, StoreError>;

    /// Stores a click link. It is bound to the message that contains it when that message is
    /// [registered](Self::remember). Returns the time at which the link expires.
    async fn keep_link(&self, id: LinkId, link: Link) -> Result<Timestamp, StoreError>;

    /// A click link that has not expired. Unauthenticated clients cause this read, so it does not use the writer.
    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError>;

    /// Claims up to `limit` due messages for one attempt each, and of no account more than its quota. In a store that several
    /// receivers share, no account has more attempts under lease than [`Quota::limit`]. The lease ends after `lease`. The claim counts the attempt, so a crash during an attempt uses it up. Each place goes to the
    /// account with the fewest attempts under way; `engine::claim` orders the messages of an account.
    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Stores what Twilio's answer to a post means for the account. The claims of the other receivers of this store obey it.
    /// A store of one process does nothing, because the worker's lanes have the news.
    async fn share_news(&self, _account: AccountSid, _news: AccountNews) -> Result<(), StoreError> {
        Ok(())
    }

    /// The accounts that Twilio has closed, as the receivers of this store have [shared](Self::share_news) it. Empty for a
    /// store of one process.
    async fn account_blocks(&self) -> Result<Vec<(AccountSid, AccountBlock)>, StoreError> {
        Ok(Vec::new())
    }

    /// Ends an attempt, if its lease is still valid. `attempt` is its result; `None` if nothing was sent.
    async fn settle(
        &self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> Result<SettleOutcome, StoreError>;

    /// [Ends](Self::settle) attempts, and then [claims](Self::claim) messages for further ones: in one command, if the store
    /// can.
    async fn settle_and_claim(
        &self,
        ended: &[EndedAttempt],
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> (SettleResults, Result<Vec<Claim>, StoreError>) {
        join(self.settle_all(ended), self.claim(limit, lease, quotas)).await
    }

    /// [Ends](Self::settle) attempts. The results are in their order.
    async fn settle_all(&self, ended: &[EndedAttempt]) -> SettleResults {
        let settle = |end: EndedAttempt| self.settle(end.lease, end.settlement, end.attempt);
        join_all(ended.iter().cloned().map(settle)).await
    }

    /// The time until a message of an account with a free quota is due: zero if one is due now, `None` if no message is
    /// confirmed and unreported.
    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError>;

    /// Completes when a further message may be due. It may complete without one, and a store that several processes
    /// share may miss changes. A change since the last call counts.
    async fn changed(&self);

    /// The worker asks for due messages at least this often, at a random time of this span. Another receiver that shares the
    /// store may make a message due, and [`changed`](Self::changed) does not show it.
    fn look_every(&self) -> RangeInclusive<Duration> {
        Duration::from_secs(30)..=Duration::from_secs(30)
    }

    /// The least time between two claims while there is no backlog. A store whose claims are expensive returns a longer time.
    fn claim_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Expires, orphans and removes up to `limit` records by the trusted time. Correctness does not depend on it.
    async fn expire(&self, limit: usize) -> Result<Swept, StoreError>;

    /// A page of at most `limit` records from `cursor` on; `None` is the start.
    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError>;

    /// A message, as it is durable.
    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError>;

    /// The newest messages of all accounts with a reference, at most 64 of each account; the newest first.
    async fn messages_with_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// The messages of all accounts that are reported next, whether or not they are due; at most 100.
    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError>;

    /// The messages that Twilio refused, the latest first; at most 100.
    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError>;

    /// The statistics of all messages. The retention and the number of separate senders bound their size.
    async fn stats(&self) -> Result<MessageStats, StoreError>;

    /// Puts an account on hold: none of its messages is [claimed](Self::claim) until the hold
    /// [ends](Self::resume), also after a restart. Attempts under way go on. Returns the time at which the hold began.
    async fn hold(&self, account: AccountSid) -> Result<Timestamp, StoreError>;

    /// Ends a hold. Returns the time at which it began; `None` if there was none.
    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError>;

    /// The accounts on hold, and the times at which the holds began.
    async fn on_hold(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError>;

    /// Puts a message that `from` selects back into the queue. Its attempts are counted anew. The record keeps the time
    /// of an earlier report.
    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError>;

    /// Erases the records of the people with these addresses ([`crate::domain::erasure`]) that exist now. After a
    /// failure the records erased so far stay erased. Counters stay: they name no person.
    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError>;

    /// A page of at most `limit` records of all kinds from `cursor` on; `None` is the start. Writes may go on
    /// meanwhile. Evidence comes before messages, and deduplication keys before both, so a record that moves is in one
    /// of them at least.
    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError>;

    /// Imports a few hundred records of a store with the same [`recipient_hash_key`](Self::recipient_hash_key), all of them or none.
    /// A missing record is added. A message that is here gets the facts that it lacks, and a state that is
    /// further along. Parked evidence stays parked until it is [reconsidered](Self::reconsider): a choice among messages
    /// needs all of them.
    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError>;

    /// Compares a few hundred records of an export with the rows of this store, without a change. The outcomes are in
    /// the order of the records.
    async fn compare(&self, records: Vec<ExportRecord>) -> Result<Vec<Presence>, StoreError>;

    /// Judges parked evidence and provisional confirmations again, in up to `limit` rows from `cursor` on. It completes
    /// an import, after which all messages among which evidence chooses are here.
    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError>;

    /// Proves by a durable write that the store can take a command.
    async fn health(&self) -> Result<(), StoreError>;

    /// The number of records, from memory.
    fn counts(&self) -> RecordCounts;

    /// The commands in the queue of the writer, at most [`QUEUE`], from memory.
    fn queued(&self) -> usize;

    /// The connections and transactions of this process. `None`: the store has no database server.
    fn pool(&self) -> Option<PoolFigures> {
        None
    }

    /// The number of messages that could be evicted now.
    async fn evictable(&self) -> Result<u64, StoreError>;

    /// Completes the commands in the queue and closes the store. Every later command is `Unavailable`.
    async fn close(&self);
}

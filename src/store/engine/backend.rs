//! The rows of a store within one command, as the engine reads and changes them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{NameKind, RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticSpan, Now, Parked, Policy, WaitsFor};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::DedupKey;
use crate::store::counts::RecordCounts;
use crate::store::engine::mutation::Mutation;
use crate::store::engine::parked_rows::ParkedRows;
use crate::store::error::StoreError;

/// The settings that decide about rows.
#[derive(Debug, Clone, Copy)]
pub struct EngineConfig {
    pub policy: Policy,
    pub max_messages: u64,
    pub max_parked: u64,
}

/// The outcome of a command, or the reason why it was not carried out; `E` if the backend cannot go on.
pub type EngineResult<T, E> = Result<Result<T, StoreError>, E>;

/// The purpose of free space on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceFor {
    /// New records.
    Records,
    /// The attempts of messages that are here: more of the disk may be full.
    Delivery,
}

/// A group of messages by their recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecipientKey {
    /// The messages to a person, under either of the names in a message.
    Person(RecipientHash),
    /// The messages of an account that bear one WhatsApp name, of this kind.
    Untied(AccountSid, NameKind),
}

/// A kind of due messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKind {
    /// A status callback or an event of Twilio names the message.
    pub is_named: bool,
    /// The last attempt got a 404.
    pub is_missing: bool,
}

impl DueKind {
    pub const ALL: [Self; 4] = [
        Self { is_named: true, is_missing: false },
        Self { is_named: true, is_missing: true },
        Self { is_named: false, is_missing: false },
        Self { is_named: false, is_missing: true },
    ];
}

/// The attempts and the closures of an account, of all receivers that share a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountUse {
    /// Attempts whose lease has not expired.
    pub under_lease: usize,
    /// No attempt begins before this time: Twilio answered 429.
    pub held_until: Option<Timestamp>,
    /// Twilio rejects the account: one attempt at a time begins from this time on.
    pub probe_from: Option<Timestamp>,
}

/// Reads and changes the rows of a store. Reads include the changes of this command.
///
/// A backend has no rule, time window or limit of its own: its arguments contain them.
#[expect(clippy::missing_errors_doc, reason = "each method fails if the backend cannot go on")]
pub trait Backend {
    /// Why the backend cannot go on.
    type Error;

    fn config(&self) -> &EngineConfig;
    /// The time to date records by.
    fn now(&self) -> Timestamp;
    /// The time to expire records by.
    fn trusted(&self) -> Timestamp;
    /// The time to remove parked evidence by.
    fn supported(&self) -> Timestamp;
    /// The time to remove other records by.
    fn removal(&self) -> Timestamp;
    fn counts(&self) -> &RecordCounts;
    fn parked_rows(&self) -> &ParkedRows;
    /// The accounts on hold, and the times at which the holds began.
    fn holds(&self) -> &BTreeMap<AccountSid, Timestamp>;
    /// `Err` if the disk has too little free space for this purpose.
    fn check_space(&self, purpose: SpaceFor) -> Result<(), StoreError>;
    /// A token that no earlier lease has.
    fn next_lease(&mut self) -> u64;

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Self::Error>;
    /// The newest messages of a group that were created in a span of time. The result may include messages of other
    /// groups.
    fn sids_to(
        &self,
        group: RecipientKey,
        span: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Self::Error>;
    /// The newest messages with a reference.
    fn sids_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Self::Error>;
    fn link(&self, id: LinkId) -> Result<Option<Link>, Self::Error>;
    /// The latest click links for a reference that are not bound to a message.
    fn unbound_links(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<LinkId>, Self::Error>;
    /// All evidence parked under a key, the first parked first.
    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Self::Error>;
    /// The row of this evidence, which may have become orphaned or changed its reason.
    fn parked_row(&self, parked: &Parked) -> Result<Option<Parked>, Self::Error>;
    /// Whether evidence with this key may be parked, or may be held by a message.
    fn may_have_evidence(&self, key: &WaitsFor) -> Result<bool, Self::Error>;
    /// The messages that hold evidence with this key. The result may include messages that hold other evidence.
    fn sids_holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Self::Error>;
    /// The time at which an act was counted.
    fn counted_at(&self, key: &DedupKey) -> Result<Option<Timestamp>, Self::Error>;
    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Self::Error>;
    fn tied_names(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Self::Error>;
    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Self::Error>;

    /// The accounts with a confirmed message that is not reported.
    fn accounts_with_due(&self) -> Result<Vec<AccountSid>, Self::Error>;
    /// The attempts and the closures of an account at a time. `None`: one process has this store, and the quotas of its
    /// claims include both. After a claim has read this, no other one takes messages of the account until the claim ends.
    fn account_use(
        &self,
        _account: AccountSid,
        _now: Timestamp,
    ) -> Result<Option<AccountUse>, Self::Error> {
        Ok(None)
    }
    /// The messages of an account and a kind that are due after a time, the first due first.
    fn due_after(
        &self,
        account: AccountSid,
        kind: DueKind,
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Self::Error>;
    /// The messages of an account and a kind that are due by a time, the last due first.
    fn last_due_by(
        &self,
        account: AccountSid,
        kind: DueKind,
        by: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Self::Error>;

    /// The first candidates for eviction at a time.
    fn evictable(&self, by: Timestamp, limit: usize) -> Result<Vec<MessageSid>, Self::Error>;
    /// Lists a candidate for eviction at a later time, or until another message changes.
    fn postpone_eviction(&mut self, message: &Message, until: Timestamp, blocker: MessageSid);

    /// Applies all changes of a mutation or none.
    fn apply(&mut self, mutation: Mutation) -> Result<(), Self::Error>;

    /// The two times that a judgement needs.
    fn times(&self) -> Now {
        Now { wall: self.now(), trusted: self.trusted() }
    }

    /// Replaces a message.
    fn replace(&mut self, before: Message, after: Message) -> Result<(), Self::Error> {
        self.apply(Mutation::of_message(Some(before), Some(after)))
    }
}

//! The rows that a store reads for a judgement, and their keys.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{NameKind, RecipientHash, TiedNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticReplies, Parked};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::{Evidence, EvidenceTarget};

/// The key that evidence is parked under and found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// One message.
    Message(MessageSid),
    /// Messages that bear a reference.
    Reference(AccountSid, Reference),
    /// Messages to a person.
    Person(RecipientHash),
    /// The message that a click link is in.
    Link(LinkId),
}

impl WaitsFor {
    /// The key of a piece of evidence.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        match &evidence.named {
            EvidenceTarget::Message(sid) => Self::Message(*sid),
            EvidenceTarget::Reference(name) => Self::Reference(evidence.account, name.clone()),
            EvidenceTarget::Person { recipient, .. } | EvidenceTarget::Caller { recipient, .. } => {
                Self::Person(recipient.person)
            }
            EvidenceTarget::Link(id) => Self::Link(*id),
        }
    }
}

/// The messages that were searched for: the newest ones, if there are too many.
#[derive(Debug, Default)]
pub struct Newest {
    pub messages: Vec<Message>,
    /// Whether older ones were left out.
    pub is_cut: bool,
}

impl Newest {
    /// Messages that were created at this time or before may be missing. `None`: none is.
    pub(super) fn cut_at(&self) -> Option<Timestamp> {
        let oldest = self.messages.iter().map(|message| message.created_at).min();
        self.is_cut.then(|| oldest.unwrap_or(Timestamp::MAX))
    }
}

/// Reads rows from a store: the newest rows, if there are too many.
#[expect(clippy::missing_errors_doc, reason = "each method fails if rows cannot be read")]
pub trait RowSource {
    /// Why rows cannot be read.
    type Error;
    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Self::Error>;
    /// The messages to a person that were created in a span of time.
    fn sent_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Self::Error>;
    /// The messages of an account that bear a reference.
    fn bearing(&self, account: AccountSid, reference: &Reference) -> Result<Newest, Self::Error>;
    /// A click link, until it is removed.
    fn link(&self, id: LinkId) -> Result<Option<Link>, Self::Error>;
    /// The click links made for a reference that are not bound to a message yet.
    fn links_for(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<LinkId>, Self::Error>;
    /// The evidence parked under a key.
    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Self::Error>;
    /// Whether evidence with this key may be parked, or may hold a provisional confirmation.
    fn may_concern(&self, key: &WaitsFor) -> Result<bool, Self::Error>;
    /// The messages that hold such evidence. The result may include messages that hold other evidence.
    fn holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Self::Error>;
    /// The Messaging Service that an account's sender is known to belong to.
    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Self::Error>;
    /// All names of the person behind this name in an account, if there are several.
    fn tied(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<TiedNames>, Self::Error>;
    /// The messages of an account that were created in a span of time and bear one WhatsApp name, of that kind. The
    /// result may include messages whose recipient has a tied name of the other kind.
    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Self::Error>;
    /// The span in which texts of a person are automatic, if there is one.
    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticReplies>, Self::Error>;
}

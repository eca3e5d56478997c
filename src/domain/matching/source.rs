//! What a store reads for a judgement, and by which keys.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{NameKind, Person, TiedNames};
use crate::domain::link::{Link, LinkId};
use crate::domain::matching::{AutomaticReplies, Parked};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::{Evidence, Named};

/// What evidence waits for, and is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// One message.
    Message(MessageSid),
    /// Messages that bear a reference.
    Reference(AccountSid, Reference),
    /// Messages to a person.
    Person(Person),
    /// The message that a click link is in.
    Link(LinkId),
}

impl WaitsFor {
    /// The key of a piece of evidence.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        match &evidence.named {
            Named::Message(sid) => Self::Message(*sid),
            Named::Reference(name) => Self::Reference(evidence.account, name.clone()),
            Named::Person { recipient, .. } | Named::Caller { recipient, .. } => {
                Self::Person(recipient.person)
            }
            Named::Link(id) => Self::Link(*id),
        }
    }
}

/// Where rows come from. The newest ones, where there are too many.
#[expect(clippy::missing_errors_doc, reason = "each of them fails where rows cannot be read")]
pub trait Source {
    /// Why rows cannot be read.
    type Error;
    /// A message.
    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Self::Error>;
    /// The messages to a person that were created in a span of time.
    fn sent_to(
        &self,
        person: Person,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Vec<Message>, Self::Error>;
    /// The messages of an account that bear a reference.
    fn bearing(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<Message>, Self::Error>;
    /// A click link that is still kept.
    fn link(&self, id: LinkId) -> Result<Option<Link>, Self::Error>;
    /// The click links made for a reference that are in no message yet.
    fn links_for(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<LinkId>, Self::Error>;
    /// The evidence that waits under a key.
    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Self::Error>;
    /// Whether evidence may wait under a key, or confirmed a message that Twilio was not sent anything of.
    fn may_concern(&self, key: &WaitsFor) -> bool;
    /// The messages that hold such evidence. It may name some that hold other evidence.
    fn holding(&self, key: &WaitsFor) -> Vec<MessageSid>;
    /// The Messaging Service that an account's sender is known to belong to.
    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Self::Error>;
    /// All names of the person whom an account knows by this one, where there are several.
    fn tied(&self, account: AccountSid, person: Person) -> Result<Option<TiedNames>, Self::Error>;
    /// The messages of an account that were created in a span of time, and of which each bears one name of WhatsApp, of
    /// that kind. Those whose recipient is known by a name of the other kind may be among them.
    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Vec<Message>, Self::Error>;
    /// Whether and when texts of a person were automatic.
    fn automatic(&self, person: Person) -> Result<Option<AutomaticReplies>, Self::Error>;
}

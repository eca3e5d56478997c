//! The rows that a store reads for a judgement, and their keys.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{LearnedNames, NameKind, RecipientHash, RecipientNames, TiedNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::evidence::{Evidence, EvidenceTarget, Parked};
use crate::domain::matching::automatic::AutomaticReplies;
use crate::domain::matching::people::People;
use crate::domain::message::Message;
use crate::domain::reference::Reference;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::{DedupId, MessageUpdate};

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

/// The keys that a command touches: what a backend loads, and what it locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedKeys {
    /// Parked evidence by SID; the message itself was loaded to find the rest out.
    pub sid: Option<MessageSid>,
    /// Messages, parked evidence and click links not yet in a message by reference; if there is none,
    /// by that of the click link.
    pub reference: Option<Reference>,
    /// Messages and parked evidence by person: one, or a caller by number and on WhatsApp.
    pub persons: Vec<RecipientHash>,
    /// Names that Twilio gives to one person.
    pub names: Option<RecipientNames>,
    /// The sender whose Messaging Service is asked for.
    pub sender: Option<String>,
    /// The click link, and parked evidence by it.
    pub link: Option<LinkId>,
}

impl AffectedKeys {
    /// What a sighting touches, and the message that it names.
    #[must_use]
    pub fn by_sighting(sighting: &MessageUpdate, known: Option<&Message>) -> Self {
        let known_reference = known.and_then(|m| m.reference.clone());
        let known_from = known.and_then(|m| m.from.clone());
        Self {
            sid: Some(sighting.sid),
            reference: known_reference.or_else(|| sighting.reference.clone()),
            persons: known
                .into_iter()
                .flat_map(Message::names)
                .chain(sighting.recipient.map(|to| to.person))
                .chain(sighting.number)
                .collect(),
            names: sighting.names.clone(),
            sender: known_from.or_else(|| sighting.from.clone()),
            link: sighting.link,
        }
    }

    /// What a piece of evidence touches.
    #[must_use]
    pub fn by_evidence(evidence: &Evidence) -> Self {
        match &evidence.named {
            EvidenceTarget::Message(sid) => Self { sid: Some(*sid), ..Self::default() },
            EvidenceTarget::Reference(reference) => {
                Self { reference: Some(reference.clone()), ..Self::default() }
            }
            EvidenceTarget::Person { recipient, sender } => Self {
                persons: vec![recipient.person],
                sender: sender.address.clone(),
                ..Self::default()
            },
            EvidenceTarget::Caller { recipient, whatsapp, sender } => Self {
                persons: vec![recipient.person, *whatsapp],
                sender: sender.address.clone(),
                ..Self::default()
            },
            EvidenceTarget::Link(id) => Self { link: Some(*id), ..Self::default() },
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
    fn may_concern(&self, key: &WaitsFor) -> bool;
    /// The messages that hold such evidence. The result may include messages that hold other evidence.
    fn holding(&self, key: &WaitsFor) -> Vec<MessageSid>;
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

/// The rows that a command needs.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The account of the command. `None`: no rows were loaded.
    pub account: Option<AccountSid>,
    /// All messages that the command may change, or that must be compared with those messages.
    pub messages: BTreeMap<MessageSid, Message>,
    /// Whether the inbound message was counted before.
    pub seen: bool,
    /// The click link in question, and those not yet in a message that were made for a reference in question.
    pub links: BTreeMap<LinkId, Link>,
    /// The evidence that waits for one of the messages, references or persons in question.
    pub parked: Vec<Parked>,
    /// The Messaging Services that the account's senders in question are known to belong to.
    pub services: BTreeMap<String, ServiceSid>,
    /// The names of the people in question.
    pub people: People,
    /// The persons in question whose texts are automatic.
    pub automatic: BTreeMap<RecipientHash, AutomaticReplies>,
    /// Whether there were too many rows. Then no provisional confirmation is judged anew.
    pub is_cut: bool,
    /// The persons and references with too many messages. Those that were created at that time or before may be missing.
    pub cut: BTreeMap<WaitsFor, Timestamp>,
}

/// What a store is to write: all of it, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages in their new state.
    pub messages: Vec<Message>,
    /// Parked evidence, as it was and as it is from now on. `None`: not parked.
    pub parked: Vec<(Option<Parked>, Option<Parked>)>,
    /// What to remember as counted.
    pub seen: Vec<DedupId>,
    /// A click link that is now known to be in a message.
    pub bound: Option<(LinkId, Link)>,
    /// A sender of the account, and the Messaging Service that it turned out to belong to.
    pub learned: Option<(AccountSid, String, ServiceSid)>,
    /// Names that turned out to be one person's.
    pub tied: Option<(AccountSid, LearnedNames)>,
    /// Persons whose texts turned out to be automatic.
    pub automatic: Vec<(RecipientHash, AutomaticReplies)>,
}

//! The rows that a store reads for a judgement, their keys, and the changes that it writes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{
    LearnedAliases, NameKind, RecipientAliases, RecipientHash, RecipientNames,
};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::evidence::{Evidence, EvidenceTarget, Parked};
use crate::domain::matching::automatic::AutomaticSpan;
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
    /// Messages with a reference.
    Reference(AccountSid, Reference),
    /// Messages to a person.
    Person(RecipientHash),
    /// The message that contains a click link.
    Link(LinkId),
}

impl WaitsFor {
    /// The key of the evidence that a message keeps.
    pub fn of_message(message: &Message) -> Option<Self> {
        message.parked_evidence.as_ref().map(|parked| Self::of(&parked.evidence))
    }

    /// The key of a piece of evidence.
    pub fn of(evidence: &Evidence) -> Self {
        match &evidence.target {
            EvidenceTarget::Message(sid) => Self::Message(*sid),
            EvidenceTarget::Reference(name) => Self::Reference(evidence.account, name.clone()),
            EvidenceTarget::Person { recipient, .. } | EvidenceTarget::Caller { recipient, .. } => {
                Self::Person(recipient.person)
            }
            EvidenceTarget::Link(id) => Self::Link(*id),
        }
    }
}

/// The keys that a command affects: a backend loads them, and locks them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedKeys {
    /// Parked evidence by SID. The message itself was loaded to find the other keys.
    pub sid: Option<MessageSid>,
    /// Messages, parked evidence and unbound click links by reference, otherwise by the reference of the click link.
    pub reference: Option<Reference>,
    /// Messages and parked evidence by person: one, or a caller by number and on WhatsApp.
    pub persons: Vec<RecipientHash>,
    /// Names that Twilio gives to one person.
    pub names: Option<RecipientNames>,
    /// The sender whose Messaging Service is looked up.
    pub sender: Option<String>,
    /// The click link, and parked evidence by it.
    pub link: Option<LinkId>,
}

impl AffectedKeys {
    /// The keys of an update, and of the known message that it names.
    pub fn by_sighting(update: &MessageUpdate, known: Option<&Message>) -> Self {
        let known_reference = known.and_then(|m| m.reference.clone());
        let known_from = known.and_then(|m| m.from.clone());
        Self {
            sid: Some(update.sid),
            reference: known_reference.or_else(|| update.reference.clone()),
            persons: known
                .into_iter()
                .flat_map(Message::names)
                .chain(update.recipient.map(|to| to.person))
                .chain(update.number)
                .collect(),
            names: update.names.clone(),
            sender: known_from.or_else(|| update.from.clone()),
            link: update.link,
        }
    }

    /// The keys of a piece of evidence.
    pub fn by_evidence(evidence: &Evidence) -> Self {
        match &evidence.target {
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

/// The result of a search: the newest messages, if there are too many.
#[derive(Debug, Default)]
pub struct Newest {
    pub messages: Vec<Message>,
    /// Whether older ones were left out.
    pub is_cut: bool,
}

impl Newest {
    /// Messages that were created at this time or before may be missing. `None`: the result is complete.
    pub(super) fn cut_at(&self) -> Option<Timestamp> {
        let oldest = self.messages.iter().map(|message| message.created_at).min();
        self.is_cut.then(|| oldest.unwrap_or(Timestamp::MAX))
    }
}

/// Reads rows from a store: the newest rows, if there are too many.
#[expect(clippy::missing_errors_doc, reason = "each method fails if rows cannot be read")]
pub trait RowSource {
    type Error;
    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Self::Error>;
    /// The messages to a person that were created in a span of time.
    fn sent_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Self::Error>;
    /// The messages of an account with a reference.
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
    /// All names of the person with this name in an account, if there are several.
    fn tied(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Self::Error>;
    /// The messages of an account that were created in a span of time and have one WhatsApp name, of that kind. The
    /// result may include messages whose recipient has a tied name of the other kind.
    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Self::Error>;
    /// The span in which texts of a person are automatic, if there is one.
    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Self::Error>;
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
    /// The click link of the command, and unbound links of the loaded references.
    pub links: BTreeMap<LinkId, Link>,
    /// The evidence that is parked for one of the loaded messages, references or persons.
    pub parked: Vec<Parked>,
    /// The known Messaging Services of the loaded senders.
    pub services: BTreeMap<String, ServiceSid>,
    pub people: People,
    /// The loaded persons whose texts are automatic.
    pub automatic: BTreeMap<RecipientHash, AutomaticSpan>,
    /// Whether there were too many rows. Then no provisional confirmation is judged again.
    pub is_cut: bool,
    /// The persons and references with too many messages. Those that were created at that time or before may be missing.
    pub cut: BTreeMap<WaitsFor, Timestamp>,
}

/// The changes that a store writes together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages in their new state.
    pub messages: Vec<Message>,
    /// Parked evidence before and after. `None`: not parked.
    pub parked: Vec<(Option<Parked>, Option<Parked>)>,
    /// The signals that are now counted.
    pub seen: Vec<DedupId>,
    /// A click link that is now bound to a message.
    pub bound: Option<(LinkId, Link)>,
    /// A sender of the account, and its Messaging Service.
    pub learned: Option<(AccountSid, String, ServiceSid)>,
    /// Names that are now tied to one person.
    pub tied: Option<(AccountSid, LearnedAliases)>,
    /// Persons whose texts are now known to be automatic.
    pub automatic: Vec<(RecipientHash, AutomaticSpan)>,
}

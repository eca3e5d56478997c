//! Identity of persons: tied names, and messages to names that are not tied yet.
//!
//! WhatsApp identifies one person by a number and by user ids. A message to an untied name may have gone to any person
//! with a name of the other kind. Such a message shields older messages: it may be that person's newest, so evidence
//! does not prove an older one. This lowers recall only until a webhook contains both names, as all do since 2026.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::address::{
    LearnedAliases, NameKind, RecipientAliases, RecipientHash, RecipientNames,
};
use crate::domain::evidence::{Evidence, EvidenceTarget};
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;

/// The loaded names of persons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// All names of a person, by each name, if there are several.
    pub tied: BTreeMap<RecipientHash, RecipientAliases>,
    /// Messages to a WhatsApp name that is not tied to a name of the other kind.
    pub untied: BTreeMap<MessageSid, Message>,
    /// If there were too many of these messages: all that were created after this time are loaded.
    pub untied_after: Option<Timestamp>,
}

impl People {
    /// These names, and all other names of the same persons.
    pub(super) fn all(&self, names: &[RecipientHash]) -> Vec<RecipientHash> {
        let tied = names.iter().filter_map(|name| self.tied.get(name));
        names.iter().copied().chain(tied.flat_map(|tied| tied.names.all())).collect()
    }

    /// Whether a message went to the person of that name.
    pub(super) fn is_to(&self, message: &Message, person: RecipientHash) -> bool {
        self.all(&[person]).into_iter().any(|name| message.is_to(name))
    }

    /// Ties names. Returns the record to store, if it is new.
    pub(super) fn tie(&mut self, names: &RecipientNames, now: Timestamp) -> Option<LearnedAliases> {
        let mut known: Vec<RecipientAliases> = Vec::new();
        for tied in names.all().filter_map(|name| self.tied.get(&name)) {
            if !known.contains(tied) {
                known.push(tied.clone());
            }
        }
        let said = RecipientAliases { names: names.clone(), seen_at: now };
        let learned = said.learned(&known)?;
        for number in &learned.dropped {
            self.tied.remove(number);
        }
        for name in learned.tied.names.all() {
            self.tied.insert(name, learned.tied.clone());
        }
        Some(learned)
    }

    /// The messages that may have gone to the person of this evidence under another name.
    pub(super) fn holds_back(&self, evidence: &Evidence) -> Vec<&Message> {
        let Some((_, other)) = shielded(evidence).filter(|(person, _)| !self.is_complete(*person))
        else {
            return Vec::new();
        };
        let may_be_theirs = |message: &&Message| {
            message.account == evidence.account
                && message.alias.is_none()
                && message
                    .recipient
                    .is_some_and(|to| to.kind == other && !self.is_complete(to.person))
        };
        self.untied.values().filter(may_be_theirs).collect()
    }

    /// Whether a person is known by a number and by a user id.
    pub(super) fn is_complete(&self, person: RecipientHash) -> bool {
        self.tied.get(&person).is_some_and(|tied| tied.names.is_complete())
    }
}

/// The WhatsApp person in the evidence, and the other kind of name that messages to the same person may bear.
pub(super) fn shielded(evidence: &Evidence) -> Option<(RecipientHash, NameKind)> {
    match &evidence.target {
        EvidenceTarget::Person { recipient, .. } => {
            Some((recipient.person, recipient.kind.counterpart()?))
        }
        EvidenceTarget::Caller { whatsapp, .. } => Some((*whatsapp, NameKind::WhatsappId)),
        EvidenceTarget::Message(_) | EvidenceTarget::Reference(_) | EvidenceTarget::Link(_) => None,
    }
}

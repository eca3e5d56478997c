//! Automatic texts: a text that comes within seconds of a message's creation counts as sent by a machine.
//!
//! Handsets and carriers send such texts, even for numbers without a reader. The rule ignores delivery receipts, because a
//! later receipt must not change the classification of a text.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::RecipientHash;
use crate::domain::evidence::{Evidence, EvidenceTarget, Parked, TimeSource};
use crate::domain::matching::people::People;
use crate::domain::matching::policy::{AUTOMATIC_FOR, AUTOMATIC_WITHIN};
use crate::domain::matching::sender::is_from;
use crate::domain::message::Message;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::timestamp_serde::{earlier, later};

/// The span in which the texts of a person are automatic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticSpan {
    /// The account of the texts.
    pub account: AccountSid,
    /// The time of the first automatic text.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub from: Timestamp,
    /// The end: a week after the last automatic text.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub until: Timestamp,
}

impl AutomaticSpan {
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.from..self.until).contains(&at)
    }

    /// The union of two spans, or the later span if there is a gap between them.
    #[must_use]
    pub fn union_or_later(self, other: Self) -> Self {
        let (first, second) = if self.from <= other.from { (self, other) } else { (other, self) };
        if second.from > first.until {
            return second;
        }
        Self { until: first.until.max(second.until), ..first }
    }
}

/// Adds the spans that follow from these pieces of evidence to the known spans.
pub(super) fn add_spans<'a>(
    pieces: impl Iterator<Item = &'a Parked>,
    known: &BTreeMap<MessageSid, Message>,
    (services, people): (&BTreeMap<String, ServiceSid>, &People),
    automatic: &mut BTreeMap<RecipientHash, AutomaticSpan>,
) {
    for evidence in pieces.map(|piece| &piece.evidence) {
        let EvidenceTarget::Person { recipient, .. } = &evidence.target else { continue };
        let is_text = evidence.is_plain_text() && evidence.time_source == TimeSource::Exact;
        if is_text && is_too_fast(evidence, known, (services, people), true) {
            let (from, until) = (evidence.occurred_at, later(evidence.occurred_at, AUTOMATIC_FOR));
            let span = AutomaticSpan { account: evidence.account, from, until };
            let before = automatic.get(&recipient.person).copied();
            automatic.insert(
                recipient.person,
                before.map_or(span, |before| before.union_or_later(span)),
            );
        }
    }
}

/// Twilio truncates a creation time to the second, and the parser reads it as that second's last millisecond. So the
/// message may have been created 999 ms earlier.
fn at_the_earliest(created_at: Timestamp) -> Timestamp {
    let is_rounded_up = created_at.subsec_millisecond() == 999;
    if is_rounded_up { earlier(created_at, Duration::from_millis(999)) } else { created_at }
}

/// Whether a text came within seconds of the creation of a message to that person from that sender. No machine answers a
/// scheduled message before it goes out.
/// `requires_known_creation` admits only messages with a known creation time.
pub(super) fn is_too_fast(
    evidence: &Evidence,
    known: &BTreeMap<MessageSid, Message>,
    (services, people): (&BTreeMap<String, ServiceSid>, &People),
    requires_known_creation: bool,
) -> bool {
    let EvidenceTarget::Person { recipient, sender } = &evidence.target else { return false };
    let after = earlier(evidence.occurred_at, AUTOMATIC_WITHIN);
    known.values().any(|message| {
        let created_at = at_the_earliest(message.created_at);
        message.account == evidence.account
            && !message.is_yet_to_go_out()
            && people.is_to(message, recipient.person)
            && (message.created_at_known || !requires_known_creation)
            && created_at > after
            && created_at <= evidence.occurred_at
            && is_from(message, sender, services, false) != Some(false)
    })
}

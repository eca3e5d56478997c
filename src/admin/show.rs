//! Shows all records of a message's SID, or of a reference.

use serde::{Deserialize, Serialize};

use crate::admin::list::scan;
use crate::admin::posting::Posting;
use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference};
use crate::domain::sid::MessageSid;
use crate::domain::signal::EvidenceTarget;
use crate::store::{Filter, ListEntry, Store, StoreError};
use crate::telemetry::readiness::Readiness;

const MAX_MESSAGES: usize = 100;
/// The most parked and orphaned evidence.
const MAX_EVIDENCE: usize = 100;

/// The records of a SID or a reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRecords {
    pub messages: Vec<Message>,
    /// Parked or orphaned evidence that names the SID or the reference.
    pub waiting: Vec<Parked>,
    pub posting: Posting,
}

/// All records of a SID or a reference. A reference may look like a SID, so both are searched.
pub(super) async fn show(
    store: &dyn Store,
    service: Option<&Readiness>,
    sid_or_reference: &Reference,
) -> Result<ShownRecords, StoreError> {
    let sid = MessageSid::parse(sid_or_reference.as_str()).ok();
    let mut messages = Vec::new();
    if let Some(sid) = sid {
        messages.extend(store.show(sid).await?);
    }
    if messages.is_empty() {
        messages = store.messages_with_reference(sid_or_reference.clone(), MAX_MESSAGES).await?;
    }
    let mut waiting = Vec::new();
    for filter in [Filter::Parked, Filter::Orphaned] {
        // Evidence has no index by name, but there is little of it.
        scan(store, filter, |entry| {
            if let ListEntry::Parked(parked) = entry
                && waiting.len() < MAX_EVIDENCE
                && names(&parked, sid, sid_or_reference)
            {
                waiting.push(*parked);
            }
            waiting.len() < MAX_EVIDENCE
        })
        .await?;
    }
    Ok(ShownRecords { messages, waiting, posting: Posting::of(store.on_hold().await?, service) })
}

/// Whether evidence names the message or the reference.
fn names(parked: &Parked, sid: Option<MessageSid>, reference: &Reference) -> bool {
    match &parked.evidence.target {
        EvidenceTarget::Message(named) => Some(*named) == sid,
        EvidenceTarget::Reference(named) => named == reference,
        EvidenceTarget::Person { .. } | EvidenceTarget::Caller { .. } | EvidenceTarget::Link(_) => {
            false
        }
    }
}

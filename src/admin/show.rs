//! Shows all records of a name: the SID of a message, or a reference.

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

/// The records of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRecords {
    /// Messages, the newest first.
    pub messages: Vec<Message>,
    /// Parked or orphaned evidence that names it.
    pub waiting: Vec<Parked>,
    pub posting: Posting,
}

/// All records of a name.
pub(super) async fn show(
    store: &dyn Store,
    service: Option<&Readiness>,
    name: &Reference,
) -> Result<ShownRecords, StoreError> {
    let sid = MessageSid::parse(name.as_str()).ok();
    let mut messages = Vec::new();
    if let Some(sid) = sid {
        messages.extend(store.show(sid).await?);
    }
    if messages.is_empty() {
        messages = store.messages_with_reference(name.clone(), MAX_MESSAGES).await?;
    }
    let mut waiting = Vec::new();
    for filter in [Filter::Parked, Filter::Orphaned] {
        // Evidence has no index by name, but there is little of it.
        scan(store, filter, |entry| {
            if let ListEntry::Parked(parked) = entry
                && waiting.len() < MAX_EVIDENCE
                && names(&parked, sid, name)
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
fn names(parked: &Parked, sid: Option<MessageSid>, name: &Reference) -> bool {
    match &parked.evidence.target {
        EvidenceTarget::Message(named) => Some(*named) == sid,
        EvidenceTarget::Reference(named) => named == name,
        EvidenceTarget::Person { .. } | EvidenceTarget::Caller { .. } | EvidenceTarget::Link(_) => {
            false
        }
    }
}

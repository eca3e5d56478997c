//! Shows all records of a name: a message's SID, or a reference.

use serde::{Deserialize, Serialize};

use crate::admin::posting::Posting;
use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference};
use crate::domain::sid::MessageSid;
use crate::domain::signal::EvidenceTarget;
use crate::store::{Filter, ListEntry, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// Records that are read in one step.
const STEP: usize = 500;
/// The most messages of one reference that are shown.
const MAX_MESSAGES: usize = 100;
/// The most parked and orphaned evidence that is shown.
const MAX_EVIDENCE: usize = 100;

/// The records of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRecords {
    /// Messages, the newest first.
    pub messages: Vec<Message>,
    /// Parked or orphaned evidence that names it.
    pub waiting: Vec<Parked>,
    /// Whether confirmed messages are posted.
    pub posting: Posting,
}

/// All records of a name.
///
/// # Errors
/// The store is unavailable.
pub async fn show(
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
        waiting.extend(naming(store, filter, sid, name).await?);
    }
    waiting.truncate(MAX_EVIDENCE);
    Ok(ShownRecords { messages, waiting, posting: Posting::of(store.paused().await?, service) })
}

/// Evidence that names the message or the reference. Parked evidence has no such index, and is little.
async fn naming(
    store: &dyn Store,
    filter: Filter,
    sid: Option<MessageSid>,
    name: &Reference,
) -> Result<Vec<Parked>, StoreError> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(filter, cursor, STEP).await?;
        found.extend(page.entries.into_iter().filter_map(|entry| match entry {
            ListEntry::Parked(parked) => {
                Some(*parked).filter(|parked| match &parked.evidence.named {
                    EvidenceTarget::Message(named) => Some(*named) == sid,
                    EvidenceTarget::Reference(named) => named == name,
                    EvidenceTarget::Person { .. }
                    | EvidenceTarget::Caller { .. }
                    | EvidenceTarget::Link(_) => false,
                })
            }
            ListEntry::Message(_) => None,
        }));
        cursor = page.next;
        if cursor.is_none() || found.len() >= MAX_EVIDENCE {
            return Ok(found);
        }
    }
}

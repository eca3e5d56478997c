//! Looks up the records that requests have left, by the trace of each request. A request that confirmed nothing and
//! parked nothing left none.

use serde::{Deserialize, Serialize};

use crate::domain::sid::MessageSid;
use crate::domain::trace::TraceParent;
use crate::store::{Filter, ListEntry, Store, StoreError};

/// Records that are read in one step.
const STEP: usize = 500;

/// The records that one request has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedRecords {
    /// Messages that it confirmed.
    pub confirmed: Vec<MessageSid>,
    /// The reasons for which its evidence is parked.
    pub parked: Vec<String>,
}

/// The records of each trace.
///
/// # Errors
/// The store is unavailable.
pub async fn trace_lookup(
    store: &dyn Store,
    traces: &[TraceParent],
) -> Result<Vec<TracedRecords>, StoreError> {
    let mut found = vec![TracedRecords::default(); traces.len()];
    for filter in [Filter::messages(), Filter::Parked] {
        let mut cursor = None;
        loop {
            let page = store.list(filter, cursor, STEP).await?;
            page.entries.iter().for_each(|entry| note(traces, entry, &mut found));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

fn note(traces: &[TraceParent], entry: &ListEntry, found: &mut [TracedRecords]) {
    let trace = match entry {
        ListEntry::Message(message) => message.trace,
        ListEntry::Parked(parked) => parked.trace,
    };
    let Some(trace) = trace else { return };
    // If spans are exported, the service's own span has replaced the client's.
    let traces = traces.iter().map(TraceParent::trace_id);
    for (_, found) in traces.zip(found).filter(|(wanted, _)| *wanted == trace.trace_id()) {
        match entry {
            ListEntry::Message(message) => found.confirmed.push(message.sid),
            ListEntry::Parked(parked) => found.parked.push(parked.reason.as_str().to_owned()),
        }
    }
}

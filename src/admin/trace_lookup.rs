//! Finds the records that requests have changed, by the trace of each request. A request that confirmed and parked nothing
//! has none.

use serde::{Deserialize, Serialize};

use crate::admin::list::scan;
use crate::domain::sid::MessageSid;
use crate::domain::trace::TraceParent;
use crate::store::{Filter, ListEntry, Store, StoreError};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedRecords {
    pub confirmed: Vec<MessageSid>,
    /// The reasons why its evidence is parked.
    pub parked: Vec<String>,
}

pub(super) async fn trace_lookup(
    store: &dyn Store,
    traces: &[TraceParent],
) -> Result<Vec<TracedRecords>, StoreError> {
    let mut found = vec![TracedRecords::default(); traces.len()];
    for filter in [Filter::messages(), Filter::Parked] {
        scan(store, filter, |entry| {
            note(traces, &entry, &mut found);
            true
        })
        .await?;
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

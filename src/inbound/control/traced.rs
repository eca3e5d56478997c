//! What came of requests over the control socket: each by the trace that it bore. For whoever made the trace up
//! for this; what confirmed nothing and waits for nothing left none.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::sid::MessageSid;
use crate::domain::trace::TraceParent;
use crate::inbound::control::Question;
use crate::store::{Entry, Filter, Store, StoreError};

/// Records that are looked at in one step.
const STEP: usize = 500;

/// Asks it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traced {
    /// By these traces.
    pub traces: Vec<TraceParent>,
}

/// What came of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// Messages that it confirmed.
    pub confirmed: Vec<MessageSid>,
    /// Why evidence in it waits for its message.
    pub parked: Vec<String>,
}

#[async_trait]
impl Question for Traced {
    const ROUTE: &'static str = "/traced";
    type Answer = Vec<Came>;

    async fn answer(self, store: &dyn Store) -> Result<Vec<Came>, StoreError> {
        let mut came = vec![Came::default(); self.traces.len()];
        for filter in [Filter::messages(), Filter::Parked] {
            let mut cursor = None;
            loop {
                let page = store.list(filter, cursor, STEP).await?;
                for entry in page.entries {
                    self.note(&entry, &mut came);
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(came)
    }
}

impl Traced {
    fn note(&self, entry: &Entry, came: &mut [Came]) {
        let trace = match entry {
            Entry::Message(message) => message.trace,
            Entry::Parked(parked) => parked.trace,
        };
        let Some(trace) = trace else { return };
        // Where spans are exported, the service's own span has taken the place of the caller's.
        let asked = self.traces.iter().map(TraceParent::trace_id);
        for (_, came) in asked.zip(came).filter(|(asked, _)| *asked == trace.trace_id()) {
            match entry {
                Entry::Message(message) => came.confirmed.push(message.sid),
                Entry::Parked(parked) => came.parked.push(parked.reason.as_str().to_owned()),
            }
        }
    }
}

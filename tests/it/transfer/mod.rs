//! Export and import: by the store's methods, and by the commands.

mod command;
mod drawn;
mod merge;
mod store;

use std::sync::Arc;

use heardback::domain::sid::MessageSid;
use heardback::store::{ExportRecord, ImportOutcome, Store};

/// All records, in pages of this size.
pub(crate) async fn all(store: &Arc<dyn Store>, page_of: usize) -> Vec<ExportRecord> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.records(cursor, page_of).await.expect("handed over");
        assert!(page.records.len() <= page_of);
        all.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// Imports records without the last step.
pub(crate) async fn import(store: &Arc<dyn Store>, records: &[ExportRecord]) -> ImportOutcome {
    store.import(records.to_vec()).await.expect("imported")
}

/// The last step of an import. Returns the messages that it confirmed.
pub(crate) async fn reconsider(store: &Arc<dyn Store>) -> Vec<MessageSid> {
    let (mut confirmed, mut cursor) = (Vec::new(), None);
    loop {
        let step = store.reconsider(cursor, 3).await.expect("reconsidered");
        confirmed.extend(step.confirmed.into_iter().map(|(sid, _)| sid));
        cursor = step.next;
        if cursor.is_none() {
            return confirmed;
        }
    }
}

/// A whole import.
pub(crate) async fn import_all(store: &Arc<dyn Store>, records: &[ExportRecord]) -> ImportOutcome {
    let outcome = import(store, records).await;
    reconsider(store).await;
    outcome
}

/// The records as lines, in any order.
fn lines(records: &[ExportRecord]) -> Vec<String> {
    let line = |record| serde_json::to_string(record).expect("JSON");
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}

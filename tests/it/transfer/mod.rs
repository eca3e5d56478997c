//! All that a store holds, handed over to another one: by the seam's verbs, and as an operator does it.

mod command;
mod drawn;
mod store;

use std::sync::Arc;

use heardback::store::{Adopted, Record, Store};

/// Everything, in pages of so many.
pub(crate) async fn all(store: &Arc<dyn Store>, page_of: usize) -> Vec<Record> {
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

pub(crate) async fn adopt(store: &Arc<dyn Store>, records: &[Record]) -> Adopted {
    store.adopt(records.to_vec()).await.expect("taken over")
}

/// As lines, in no order.
fn lines(records: &[Record]) -> Vec<String> {
    let line = |record| serde_json::to_string(record).expect("JSON");
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}

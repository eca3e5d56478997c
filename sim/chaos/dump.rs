//! The dump: the store, opened once more when all is over, by the library that will open it next time.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use heardback::domain::matching::Policy;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Store as _};
use jiff::Timestamp;

use crate::history::{History, What};
use crate::identities::SECRET;

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
/// Records a page.
const PAGE: usize = 1000;

/// Writes down every message, and all evidence without one.
pub(crate) async fn dump(path: &Path, history: &History) -> anyhow::Result<()> {
    let policy = Policy {
        pending_ttl: 7 * 24 * HOUR,
        reply_window: HOUR,
        event_window: std::time::Duration::from_mins(15),
        retention: 30 * 24 * HOUR,
        read_confirms: false,
        resend: heardback::domain::matching::Resend::default(),
    };
    let mut options = Options::new(path, policy, Arc::new(now));
    options.person_key = Some(format!("{SECRET} for phones").into_bytes());
    let store = SledStore::open(options).context("the store does not open")?;
    let mut messages = 0;
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        let mut cursor = None;
        loop {
            let page = store.list(filter, cursor, PAGE).await?;
            for entry in page.entries {
                messages += u64::from(matches!(entry, ListEntry::Message(_)));
                history.note(kept(entry));
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    store.close().await;
    history.note(What::Read { messages });
    Ok(())
}

fn kept(entry: ListEntry) -> What {
    match entry {
        ListEntry::Message(message) => What::Kept {
            sid: message.sid.to_string(),
            account: message.account.to_string(),
            state: message.state.as_str().to_owned(),
            status: message.refusal.as_ref().and_then(|refusal| refusal.status),
        },
        ListEntry::Parked(parked) => {
            What::Waiting { named: format!("{:?}", parked.evidence.named) }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the store wants a clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

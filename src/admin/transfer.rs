//! Export and import of all records. Recipients are keyed hashes, so a store identifies its key by the key's check.

use serde::{Deserialize, Serialize};

use crate::domain::hex::hex;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::{ExportRecord, ImportOutcome, Reconsidered, RecordCounts, Store, StoreError};

/// The identity of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The check of the key that hashes persons, in hexadecimal: never the key.
    pub persons: String,
    /// Whether there is no message, no evidence and no link.
    pub is_empty: bool,
}

/// The identity of the store.
pub fn identity(store: &dyn Store) -> Identity {
    let persons = hex(&store.person_key().check());
    Identity { persons, is_empty: store.counts() == RecordCounts::default() }
}

/// Imports records, all of them or none. `persons` is the check of the key that hashed the recipients in them: the
/// service may have been replaced since the client requested its identity.
///
/// # Errors
/// The store is unavailable, or has another key.
pub async fn import(
    store: &dyn Store,
    persons: &str,
    records: Vec<ExportRecord>,
) -> Result<ImportOutcome, StoreError> {
    if identity(store).persons != persons {
        let reason = "the store's persons are hashed with another key by now".to_owned();
        return Err(StoreError::Unavailable { reason, label: "person_key" });
    }
    let outcome = store.import(records).await?;
    log_confirmed(&outcome.confirmed);
    for account_sid in &outcome.holds {
        tracing::warn!(
            %account_sid,
            "account {account_sid} is on hold, as it was where an import comes from: nothing of it is reported"
        );
    }
    Ok(outcome)
}

/// Ends an import: judges parked evidence anew, one step of at most `limit` rows.
///
/// # Errors
/// The store is unavailable.
pub async fn reconsider(
    store: &dyn Store,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<Reconsidered, StoreError> {
    let reconsidered = store.reconsider(cursor, limit).await?;
    log_confirmed(&reconsidered.confirmed);
    Ok(reconsidered)
}

fn log_confirmed(confirmed: &[(MessageSid, AccountSid)]) {
    for (sid, account_sid) in confirmed {
        tracing::info!(message_sid = %sid, %account_sid, source = "import", "confirmed {sid} by import");
    }
}

//! Export and import of all records. Recipients are keyed hashes, so an import compares the keys of both stores.

use serde::{Deserialize, Serialize};

use crate::domain::hex::hex;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::{ExportRecord, ImportOutcome, Reconsidered, RecordCounts, Store, StoreError};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The check of the key that hashes recipients, in hexadecimal: not the key.
    pub key_check: String,
    /// Whether there is no message, no evidence and no link.
    pub is_empty: bool,
}

pub(super) fn identity(store: &dyn Store) -> Identity {
    let key_check = hex(&store.recipient_hash_key().fingerprint());
    Identity { key_check, is_empty: store.counts() == RecordCounts::default() }
}

/// Rejects records whose recipients another key hashed.
pub(super) fn require_same_key(store: &dyn Store, key_check: &str) -> Result<(), StoreError> {
    if identity(store).key_check == key_check {
        return Ok(());
    }
    let reason = "the store hashes recipients with another key than at the start of the command; run it again".to_owned();
    Err(StoreError::Unavailable { reason, label: "person_key" })
}

/// Imports records, all of them or none. `key_check` is the check of the key that hashed the recipients in them: the
/// service may have restarted with another store since the client requested its identity.
pub(super) async fn import(
    store: &dyn Store,
    key_check: &str,
    records: Vec<ExportRecord>,
) -> Result<ImportOutcome, StoreError> {
    require_same_key(store, key_check)?;
    let outcome = store.import(records).await?;
    log_confirmed(&outcome.confirmed);
    for account_sid in &outcome.holds {
        tracing::warn!(
            %account_sid,
            "account {account_sid} put on hold by import: the exported store had it on hold; nothing of it is reported \
             until you run `heardback resume {account_sid}`"
        );
    }
    Ok(outcome)
}

/// The last part of an import: matches parked evidence again, in steps of at most `limit` rows.
pub(super) async fn reconsider(
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

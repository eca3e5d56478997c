//! Puts an account on hold and resumes it. No message of an account on hold is reported.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::sid::AccountSid;
use crate::store::{Store, StoreError};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOutcome {
    #[serde(rename = "account_sid")]
    pub account: AccountSid,
    pub changed: bool,
    /// The beginning of the hold, or of the one that has ended; `None` if there was none.
    pub since: Option<Timestamp>,
    /// Whether the store has messages of the account. Without any, the SID may be wrong.
    pub has_messages: bool,
}

pub(super) async fn hold(
    store: &dyn Store,
    account: AccountSid,
) -> Result<HoldOutcome, StoreError> {
    let changed = !store.on_hold().await?.contains_key(&account);
    let since = Some(store.hold(account).await?);
    if changed {
        tracing::info!(account_sid = %account, "account {account} is on hold: nothing of it is reported");
    }
    let has_messages = has_messages(store, account).await?;
    Ok(HoldOutcome { account, changed, since, has_messages })
}

pub(super) async fn resume(
    store: &dyn Store,
    account: AccountSid,
) -> Result<HoldOutcome, StoreError> {
    let since = store.resume(account).await?;
    if since.is_some() {
        tracing::info!(account_sid = %account, "account {account} is no longer on hold");
    }
    let has_messages = has_messages(store, account).await?;
    Ok(HoldOutcome { account, changed: since.is_some(), since, has_messages })
}

async fn has_messages(store: &dyn Store, account: AccountSid) -> Result<bool, StoreError> {
    Ok(store.stats().await?.accounts().any(|known| known == account))
}

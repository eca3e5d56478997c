//! Erases the records of recipients from the store, and all recordings of rejected requests. Logs contain no address.

use std::io;

use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::domain::address::Address;
use crate::store::{Forgotten, Store};

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    #[serde(flatten)]
    pub forgotten: Forgotten,
    /// Recordings of rejected requests. All are erased, because each may contain the addresses.
    pub recordings: u64,
}

/// Erases the records of the recipients with these addresses.
pub(super) async fn forget(
    store: &dyn Store,
    clear_recordings: &dyn Fn() -> io::Result<u64>,
    addresses: &[String],
) -> Result<Erased, AdminError> {
    let addresses = addresses.iter().map(|text| Address::parse_recipient(text));
    let addresses = addresses.collect::<Result<Vec<_>, _>>();
    let addresses = addresses.map_err(|error| AdminError::Address(error.to_string()))?;
    let forgotten = store.forget(addresses).await?;
    let Forgotten { messages, unreported, evidence, links, references } = forgotten;
    let recordings =
        clear_recordings().map_err(|error| AdminError::RecordingsRemain { messages, error })?;
    tracing::info!(
        messages,
        unreported,
        evidence,
        links,
        references,
        recordings,
        "records of recipients erased"
    );
    Ok(Erased { forgotten, recordings })
}

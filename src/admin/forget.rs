//! Erases the records of people from the store, and the recordings of refused requests. No log line names them.

use serde::{Deserialize, Serialize};

use crate::admin::{AdminError, Target};
use crate::domain::address::Address;
use crate::store::Forgotten;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Records of the store.
    #[serde(flatten)]
    pub forgotten: Forgotten,
    /// Recordings of refused requests. All are erased, because any may name the people.
    pub recordings: u64,
}

/// Erases the records of the people with these addresses.
///
/// # Errors
/// An address cannot be parsed, the store is unavailable, or recordings cannot be removed.
pub async fn forget(target: &Target<'_>, addresses: &[String]) -> Result<Erased, AdminError> {
    let addresses = addresses.iter().map(|text| Address::parse_recipient(text));
    let addresses = addresses.collect::<Result<Vec<_>, _>>();
    let addresses = addresses.map_err(|error| AdminError::Failed(error.to_string()))?;
    let forgotten = target.store.forget(addresses).await?;
    let Forgotten { messages, unreported, evidence, links, references } = forgotten;
    let recordings = (target.clear_recordings)().map_err(|error| {
        AdminError::Failed(format!(
            "{messages} messages are erased, but recordings are left: {error}"
        ))
    })?;
    tracing::info!(
        messages,
        unreported,
        evidence,
        links,
        references,
        recordings,
        "erased the records of the named people"
    );
    Ok(Erased { forgotten, recordings })
}

//! `store key`: prints the phone key that a sled store keeps, in the form of `HEARDBACK_PHONE_KEY`.

use std::io::Write;

use anyhow::Context;

use crate::admin::AdminRequest;
use crate::commands::store_access::{StoreAccess, UsageError};
use crate::config::{HEX, StoreUrl, Values};

/// Checks that the store may keep a key.
pub(super) fn check(settings: &Values) -> Result<(), UsageError> {
    match &settings.store {
        StoreUrl::Sled(_) => Ok(()),
        StoreUrl::Postgres(url) => Err(UsageError(format!(
            "{url} keeps no key: each of its receivers has it in HEARDBACK_PHONE_KEY; read it there"
        ))),
    }
}

/// Prints the key to `out` and nowhere else.
pub(super) async fn run(store: &StoreAccess, out: &mut impl Write) -> anyhow::Result<bool> {
    let key: Option<String> = store.request(AdminRequest::PhoneKey).await?;
    let key = key.context(
        "the store keeps no key: its service has it in HEARDBACK_PHONE_KEY; use the value of that setting",
    )?;
    writeln!(out, "{HEX}{key}")?;
    Ok(true)
}

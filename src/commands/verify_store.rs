//! `verify-store`: checks that a store or a backup is complete.
//!
//! It reads every record and computes the seal again. A service that has the store open writes a temporary backup for
//! this, and continues to serve.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::backup::{FreeSpaceGuard, copy};
use crate::commands::control::LOCK_TIMEOUT;
use crate::commands::{control, restore};
use crate::domain::message::State;
use crate::store::sled::backup::{BackupContents, contents, verify};

/// The result. JSON has `error`, or the other fields.
#[derive(Serialize)]
pub(super) struct VerifyReport {
    pub(super) ok: bool,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    found: Option<VerifyFinding>,
}

#[derive(Serialize)]
struct VerifyFinding {
    format: u32,
    messages: Map<String, Value>,
    parked: u64,
    orphaned: u64,
    links: u64,
    entries: u64,
    batches: u64,
    seal: &'static str,
    person_key_inside: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<String>,
}

pub(super) async fn verify_path(store: &Path, backup: Option<&Path>) -> VerifyReport {
    let (path, found) = match backup {
        Some(backup) => {
            let path = restore::file_of(backup);
            let found = restore::open(&path).and_then(|file| Ok(contents(file)?));
            (path, found)
        }
        None => (store.to_path_buf(), of_store(store).await),
    };
    VerifyReport::of(&path, found)
}

async fn of_store(store: &Path) -> anyhow::Result<BackupContents> {
    if !control::wait_for_service(store)? {
        return Ok(verify(store, LOCK_TIMEOUT)?);
    }
    let file = tempfile::tempfile().context("cannot create a temporary file")?;
    let elsewhere = "set TMPDIR to a folder on another disk";
    copy(store, &mut FreeSpaceGuard::new(store, &file, elsewhere)?).await?;
    Ok(contents(file)?)
}

impl VerifyReport {
    pub(super) fn of(path: &Path, found: anyhow::Result<BackupContents>) -> Self {
        let path = path.display().to_string();
        match found {
            Ok(contents) => Self { ok: true, path, error: None, found: Some(contents.into()) },
            Err(error) => Self { ok: false, path, error: Some(format!("{error:#}")), found: None },
        }
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        if let Some(error) = &self.error {
            let _ = writeln!(out, "{}: NOT sound: {error}", self.path);
        }
        if let Some(found) = &self.found {
            let _ = writeln!(out, "{}: sound", self.path);
            let _ = found.write(&mut out);
        }
        out
    }
}

impl From<BackupContents> for VerifyFinding {
    fn from(contents: BackupContents) -> Self {
        let BackupContents { format, counts, entries, batches, has_recipient_hash_key, header } =
            contents;
        let states = State::ALL.map(|state| (state.as_str().to_owned(), counts.of(state).into()));
        Self {
            format,
            messages: states.into_iter().collect(),
            parked: counts.parked,
            orphaned: counts.orphaned,
            links: counts.links,
            entries,
            batches,
            seal: "sound",
            person_key_inside: has_recipient_hash_key,
            begun_at: header.as_ref().map(|header| header.begun_at.to_string()),
            made_by: header.map(|header| header.version),
        }
    }
}

impl VerifyFinding {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        if let (Some(begun_at), Some(made_by)) = (&self.begun_at, &self.made_by) {
            writeln!(out, "  made at      {begun_at}, by Heardback {made_by}")?;
        }
        writeln!(out, "  format       {}", self.format)?;
        let states: Vec<_> =
            self.messages.iter().map(|(state, count)| format!("{state} {count}")).collect();
        writeln!(out, "  messages     {}", states.join(", "))?;
        writeln!(out, "  evidence     parked {}, orphaned {}", self.parked, self.orphaned)?;
        writeln!(out, "  click links  {}", self.links)?;
        let (entries, batches) = (self.entries, self.batches);
        writeln!(out, "  seal         right: {entries} entries, {batches} batches")?;
        let key = if self.person_key_inside { "inside" } else { "not inside: HEARDBACK_PHONE_KEY" };
        writeln!(out, "  phone key    {key}")
    }
}

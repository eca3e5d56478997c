//! Erases people: a scan beside the writer finds their rows, and the writer erases them in small groups.
//!
//! The scan finds every record that was acknowledged before it began. An erased record is in no answer and no backup
//! from then on. Its bytes stay in sled's file until sled overwrites them.

use std::sync::Arc;

use crate::domain::address::RecipientHash;
use crate::domain::erasure::Erasure;
use crate::domain::sid::AccountSid;
use crate::store::engine::{PersonalRow, StoredRow, erase, personal_row};
use crate::store::sled::error::Fatal;
use crate::store::sled::keys;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::rows::read_row;
use crate::store::sled::store::SledStore;
use crate::store::{Forgotten, StoreError};

/// The rows that one command of the writer erases.
const GROUP: usize = 64;

impl SledStore {
    pub(crate) async fn erase(&self, erasure: Erasure) -> Result<Forgotten, StoreError> {
        let (erasure, rows) = self.read(move |reader| personal_rows(reader, erasure)).await?;
        let (erasure, mut rows) = (Arc::new(erasure), rows.into_iter().peekable());
        let mut forgotten = Forgotten::default();
        while rows.peek().is_some() {
            let group: Vec<PersonalRow> = rows.by_ref().take(GROUP).collect();
            let erasure = Arc::clone(&erasure);
            let group = self.submit(move |backend| erase(backend, &erasure, &group)).await?;
            forgotten += group;
        }
        Ok(forgotten)
    }
}

/// The rows of all kinds that concern the people of an erasure.
fn personal_rows(
    reader: &StoreReader,
    mut erasure: Erasure,
) -> Result<(Erasure, Vec<PersonalRow>), Fatal> {
    let mut rows = Vec::new();
    erasure.add_names(&groups(reader)?);
    // Messages come before links: a link of one of their messages concerns them, too.
    for kind in [keys::NAMES, keys::MESSAGE, keys::LINK, keys::PARKED, keys::AUTOMATIC] {
        for entry in reader.tree.scan_prefix([kind]) {
            let (key, value) = entry?;
            let Some(row) = read_row(&key, &value)? else { continue };
            rows.extend(personal_row(row, &mut erasure));
        }
    }
    for (account, reference) in erasure.references() {
        for entry in reader.tree.scan_prefix(keys::reference_prefix(account, reference)) {
            // The messages to these people are erased before.
            rows.extend(keys::read_reference_entry(&entry?.0).map(PersonalRow::SharedReference));
        }
    }
    Ok((erasure, rows))
}

/// Groups of names, each of one person: tied names, and the names in one message.
fn groups(reader: &StoreReader) -> Result<Vec<(AccountSid, Vec<RecipientHash>)>, Fatal> {
    let mut groups = Vec::new();
    for kind in [keys::NAMES, keys::MESSAGE] {
        for entry in reader.tree.scan_prefix([kind]) {
            let (key, value) = entry?;
            match read_row(&key, &value)? {
                Some(StoredRow::Names(account, _, tied)) => {
                    groups.push((account, tied.names.everywhere().collect()));
                }
                Some(StoredRow::Message(message)) if message.alias.is_some() => {
                    groups.push((message.account, message.names().collect()));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(groups)
}

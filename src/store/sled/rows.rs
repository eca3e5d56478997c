//! Rows as sled's entries: each kind of row by its key and value.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::matching::Parked;
use crate::store::ExportRecord;
use crate::store::engine::StoredRow;
use crate::store::sled::keys;
use crate::store::sled::record::{Damaged, decode, encode};

/// Reads an entry. `None`: it belongs to an index, or to the store itself.
pub(crate) fn read_row(key: &[u8], value: &[u8]) -> Result<Option<StoredRow>, Damaged> {
    Ok(Some(match key.first() {
        Some(&keys::MESSAGE) => StoredRow::Message(decode(value)?),
        Some(&keys::PARKED) => StoredRow::Parked(decode(value)?),
        Some(&keys::LINK) => StoredRow::Link(valid(keys::read_link(key))?, decode(value)?),
        Some(&keys::DEDUP) => {
            StoredRow::Counted(valid(keys::read_dedup(key))?, read_counted_at(value)?)
        }
        Some(&keys::SENDER) => {
            let (account, address) = valid(keys::read_sender(key))?;
            StoredRow::Sender(account, address.to_owned(), decode(value)?)
        }
        Some(&keys::NAMES) => {
            let (account, person) = valid(keys::read_names(key))?;
            StoredRow::Names(account, person, decode(value)?)
        }
        Some(&keys::AUTOMATIC) => {
            StoredRow::Automatic(valid(keys::read_automatic(key))?, decode(value)?)
        }
        // An unreadable hold is damage: it must not end the hold.
        Some(&keys::HOLD) => {
            StoredRow::Hold(valid(keys::read_hold(key))?, timestamp(decode(value)?)?)
        }
        Some(_) | None => return Ok(None),
    }))
}

fn valid<T>(part: Option<T>) -> Result<T, Damaged> {
    part.ok_or_else(Damaged::key)
}

fn timestamp(milliseconds: i64) -> Result<Timestamp, Damaged> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| Damaged::key())
}

/// The value of a counted act.
pub(crate) fn counted_at(at: Timestamp) -> Vec<u8> {
    at.as_millisecond().to_be_bytes().to_vec()
}

pub(crate) fn read_counted_at(value: &[u8]) -> Result<Timestamp, Damaged> {
    timestamp(i64::from_be_bytes(value.try_into().map_err(|_| Damaged::key())?))
}

/// The value of a hold.
pub(crate) fn hold_since(since: Timestamp) -> Result<Vec<u8>, Damaged> {
    encode(&since.as_millisecond())
}

/// The key of parked evidence. It does not change when the evidence becomes orphaned.
pub(crate) fn parked_key(parked: &Parked) -> Result<Vec<u8>, Damaged> {
    Ok(keys::parked(parked, &encode(&parked.evidence)?))
}

/// Whether a record can be read after it is written. A record that cannot be read makes the store damaged.
pub(crate) fn is_readable(record: &ExportRecord) -> bool {
    fn reads<T: Serialize + DeserializeOwned>(value: &T) -> bool {
        encode(value).and_then(|bytes| decode::<T>(&bytes)).is_ok()
    }
    match record {
        ExportRecord::Message(message) => reads(message.as_ref()),
        ExportRecord::Parked(parked) => reads(parked.as_ref()),
        ExportRecord::Link { link, .. } => reads(link),
        ExportRecord::DedupKey { at, .. } | ExportRecord::Hold { since: at, .. } => {
            timestamp(at.as_millisecond()).is_ok()
        }
        ExportRecord::Sender { service, .. } => reads(service),
        ExportRecord::Names { tied, .. } => reads(tied),
        ExportRecord::Automatic { automatic, .. } => reads(automatic),
    }
}

//! Values: one byte for the version, then postcard. Each stays far below 4 KB, since sled keeps
//! large values in files that it never syncs (`facts/sled.md` §1).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that is written.
const VERSION: u8 = 1;

/// A value cannot be read (or, which cannot happen, not be written).
#[derive(Debug, thiserror::Error)]
#[error("a record of the store cannot be read: {0}")]
pub(super) struct Damaged(String);

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Damaged> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| Damaged(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| Damaged(error.to_string()))
        }
        Some((version, _)) => Err(Damaged(format!("version {version} is not known"))),
        None => Err(Damaged("it is empty".to_owned())),
    }
}

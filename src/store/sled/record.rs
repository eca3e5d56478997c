//! Values: one byte for the version, then postcard. Each stays far below 4 KB, since sled keeps
//! large values in files that it never syncs (`facts/sled.md` §1).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that is written.
const VERSION: u8 = 2;
/// The first release's, whose messages end before the code and what converted them.
const FIRST: u8 = 1;
/// How postcard writes that these two are not there.
const NOT_THERE: [u8; 2] = [0, 0];

/// A value cannot be read (or, which cannot happen, not be written).
#[derive(Debug, thiserror::Error)]
#[error("a record of the store cannot be read: {0}")]
pub(super) struct Damaged(String);

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Damaged> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| Damaged(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => read(rest),
        // What stands behind the end of a shorter record is not looked at.
        Some((&FIRST, rest)) => read(&[rest, &NOT_THERE].concat()),
        Some((version, _)) => Err(Damaged(format!("version {version} is not known"))),
        None => Err(Damaged("it is empty".to_owned())),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    postcard::from_bytes(bytes).map_err(|error| Damaged(error.to_string()))
}

//! Values: one byte for the version, then postcard. Each stays far below 4 KB, since sled keeps
//! large values in files that it never syncs (`facts/sled.md` §1).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that is written.
const VERSION: u8 = 3;
/// The one before it, whose messages end before how they were proven and reported, in three fields.
pub(super) const SECOND: u8 = 2;
/// The first release's, whose messages end before the code and what converted them, too.
const FIRST: u8 = 1;
/// Room for most records, in bytes.
const USUAL: usize = 192;
/// How postcard writes that these five are not there.
const NOT_THERE: [u8; 5] = [0; 5];

/// A value cannot be read (or, which cannot happen, not be written).
#[derive(Debug, thiserror::Error)]
#[error("a record of the store cannot be read: {0}")]
pub(super) struct Damaged(pub(super) String);

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Damaged> {
    // Postcard writes byte by byte: a vector that begins small is moved five times on its way.
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(VERSION);
    postcard::to_extend(value, bytes).map_err(|error| Damaged(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => read(rest),
        // What stands behind the end of a record that has fewer such fields is not looked at.
        Some((&(FIRST | SECOND), rest)) => read(&[rest, &NOT_THERE].concat()),
        Some((version, _)) => Err(Damaged(format!("version {version} is not known"))),
        None => Err(Damaged("it is empty".to_owned())),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    postcard::from_bytes(bytes).map_err(|error| Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::{Delivery, Message, State};
    use jiff::Timestamp;

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let now = Timestamp::UNIX_EPOCH;
        let message = Message {
            sid: "SM0123456789abcdef0123456789abcdef".parse().expect("valid"),
            account: "AC0123456789abcdef0123456789abcdef".parse().expect("valid"),
            state: State::Pending,
            recipient: None,
            from: Some("+15550009999".to_owned()),
            service: None,
            reference: None,
            status: None,
            error_code: None,
            created_at: now,
            created_at_known: true,
            remembered_at: now,
            expires_at: now,
            since: now,
            proof: None,
            delivery: Delivery::default(),
            reported_at: None,
            refusal: None,
            code: None,
            converted_by: None,
            parked_at: None,
            last_attempt: None,
            trace: None,
        };
        let mut bytes = encode(&message).expect("encoded");
        assert_eq!(decode::<Message>(&bytes).expect("this release's"), message);
        for (version, fewer) in [(SECOND, 3), (FIRST, 2)] {
            bytes.truncate(bytes.len() - fewer);
            bytes[0] = VERSION;
            assert!(decode::<Message>(&bytes).is_err(), "this release's records are not so short");
            bytes[0] = version;
            assert_eq!(decode::<Message>(&bytes).expect("an earlier release's"), message);
        }
        bytes[0] = VERSION + 1;
        assert!(decode::<Message>(&bytes).is_err(), "a later release's");
    }
}

//! Values: one byte for the version, then postcard. Each stays far below 4 KiB, since sled keeps
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
pub(super) struct Damaged(String);

impl Damaged {
    /// A key that stands for nothing.
    pub(super) fn key() -> Self {
        Self("its key stands for nothing".to_owned())
    }
}

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
    use std::time::Duration;

    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::domain::address::{Address, PersonKey};
    use crate::domain::code::{Code, CodeKey};
    use crate::domain::link::{Link, LinkTarget, LinkToken, TOKEN_BYTES};
    use crate::domain::matching::{Parked, Reason};
    use crate::domain::message::{
        Attempt, Basis, Delivery, Message, Proof, Reference, Refusal, State, Status,
    };
    use crate::domain::sid::{AccountSid, MessageSid};
    use crate::domain::signal::{Evidence, Named, SenderHint};
    use crate::domain::trace::TraceParent;

    fn bare() -> Message {
        let example = Message::example(State::Pending, Timestamp::UNIX_EPOCH);
        Message { from: Some("+15550009999".to_owned()), ..example }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_750_000_000_000 + milliseconds).expect("a time")
    }

    /// Everything that a record may hold is in one of them.
    fn full() -> (Message, Parked, Parked, Link) {
        let account: AccountSid = "AC0123456789ABCDEF0123456789abcdef".parse().expect("valid");
        let sid: MessageSid = "MM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let key = PersonKey::new(b"key");
        let address = Address::parse("+4915112345678").expect("valid");
        let (recipient, whatsapp) = key.caller(account, &address).expect("a number");
        let reference = Reference::parse("login-4711");
        let trace = TraceParent::new([7; 16], [9; 8], 1);
        let message = Message {
            sid,
            account,
            state: State::Refused,
            recipient: Some(recipient),
            service: "MG0123456789abcdef0123456789abcdef".parse().ok(),
            reference: reference.clone(),
            status: Some(Status::PartiallyDelivered),
            error_code: Some(30_003),
            created_at: at(1),
            proof: Some(Proof {
                label: "code_entered".to_owned(),
                basis: Basis::Shared,
                occurred_at: at(2),
                confirmed_at: at(3),
            }),
            delivery: Delivery {
                attempts: 300,
                due_at: Some(at(4)),
                lease: Some(u64::MAX),
                spent: Duration::from_millis(12_345),
            },
            reported_at: Some(at(5)),
            refusal: Some(Refusal {
                status: Some(400),
                code: Some(21_609),
                message: "no".to_owned(),
            }),
            code: Some(Code::Known(CodeKey::new(b"app key").hmac(sid, "123456"))),
            converted_by: Some(sid),
            parked_at: Some(at(-6)),
            last_attempt: Some(Attempt {
                number: 1,
                ended_at: at(7),
                took_ms: 143,
                status: None,
                code: None,
                message: "timed out".to_owned(),
            }),
            trace,
            ..bare()
        };
        let sender = SenderHint { address: Some("+15550009999".to_owned()), service: None };
        let parked = |named, orphaned| Parked {
            evidence: Evidence { account, named, label: "reply".to_owned(), occurred_at: at(8) },
            parked_at: at(9),
            until: at(10),
            reason: Reason::SenderUnknown,
            orphaned,
            held_number: true,
            trace,
        };
        let id = LinkToken::from_random([3; TOKEN_BYTES]).id();
        let link = Link {
            account,
            target: LinkTarget::parse("https://example.com/welcome").expect("valid"),
            message: Some(sid),
            reference,
            created_at: at(11),
        };
        let caller = parked(Named::Caller { recipient, whatsapp, sender }, false);
        (message, caller, parked(Named::Link(id), true), link)
    }

    fn sum(bytes: &[u8]) -> String {
        let digest = Sha256::digest(bytes);
        let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!("{} bytes, {}", bytes.len(), digits.collect::<String>())
    }

    /// What is read as text elsewhere must not change what lies on the disk.
    #[test]
    fn records_lie_on_the_disk_as_format_4_wrote_them() {
        let (message, caller, opened, link) = full();
        let sums = [
            sum(&encode(&message).expect("encoded")),
            sum(&encode(&caller).expect("encoded")),
            sum(&encode(&opened).expect("encoded")),
            sum(&encode(&link).expect("encoded")),
        ];
        let were = [
            "313 bytes, fdfde7ed01defe06",
            "138 bytes, 3c590daa49305b97",
            "105 bytes, 65ed6bc3ed527817",
            "100 bytes, 15ec81a3927edbad",
        ];
        assert_eq!(sums, were);
        assert_eq!(decode::<Message>(&encode(&message).expect("encoded")).expect("read"), message);
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let message = bare();
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

//! The encoding of values: a byte for the version, then postcard. Each value stays far below 4 KiB, because sled keeps larger
//! values in files that it never syncs (docs/design.md, "Durability").

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of all records of this format.
const VERSION: u8 = 6;
/// The capacity of a new record, in bytes. Most records fit.
const TYPICAL_LEN: usize = 192;

/// A record cannot be decoded: it is damaged, or another format wrote it. Encoding has this error type only because postcard
/// returns a `Result`: no type of this crate fails to encode.
#[derive(Debug, thiserror::Error)]
#[error("a record of the store cannot be read: {0}")]
pub(crate) struct Damaged(String);

impl Damaged {
    /// The key or a time of a record is invalid.
    pub(super) fn key() -> Self {
        Self("its key or its time is invalid".to_owned())
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Damaged> {
    // Postcard writes byte by byte: a vector without this capacity would be moved five times.
    let mut bytes = Vec::with_capacity(TYPICAL_LEN);
    bytes.push(VERSION);
    postcard::to_extend(value, bytes).map_err(|error| Damaged(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| Damaged(error.to_string()))
        }
        Some((version, _)) => Err(Damaged(format!("unknown version {version}"))),
        None => Err(Damaged("the record is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::domain::address::{Address, RecipientHashKey};
    use crate::domain::click_link::{Link, LinkTarget, LinkToken, TOKEN_BYTES};
    use crate::domain::code::CodeKey;
    use crate::domain::hex::hex;
    use crate::domain::matching::{Parked, Reason, TypedCode};
    use crate::domain::message::{
        Basis, Delivery, LastAttempt, Message, Proof, Reference, Refusal, State, Status,
    };
    use crate::domain::sid::{AccountSid, MessageSid};
    use crate::domain::signal::{Evidence, EvidenceTarget, SenderHint, SignalSource, TimeSource};
    use crate::domain::trace::TraceParent;

    fn bare() -> Message {
        let example = Message::example(State::Pending, Timestamp::UNIX_EPOCH);
        Message { from: Some("+15550009999".to_owned()), ..example }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_750_000_000_000 + milliseconds).expect("a time")
    }

    /// Records that have, together, a value in every optional field.
    fn full() -> (Message, Parked, Parked, Link) {
        let account: AccountSid = "AC0123456789ABCDEF0123456789abcdef".parse().expect("valid");
        let sid: MessageSid = "MM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let key = RecipientHashKey::new(b"key");
        let address = Address::parse("+4915112345678").expect("valid");
        let (recipient, whatsapp) = key.caller(account, &address).expect("a number");
        let reference = Reference::parse("login-4711");
        let trace = TraceParent::new([7; 16], [9; 8], 1);
        let message = Message {
            sid,
            account,
            state: State::Refused,
            recipient: Some(recipient),
            alias: Some(recipient),
            service: "MG0123456789abcdef0123456789abcdef".parse().ok(),
            reference: reference.clone(),
            status: Some(Status::PartiallyDelivered),
            went_out_at: Some(at(0)),
            arrived_at: Some(at(9)),
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
            code: Some(CodeKey::new(b"app key").hmac(sid, "123456")),
            superseded_by: Some(sid),
            parked_at: Some(at(-6)),
            last_attempt: Some(LastAttempt {
                number: 1,
                ended_at: at(7),
                took_ms: 143,
                status: Some(503),
                code: Some(20_503),
                message: "timed out".to_owned(),
            }),
            trace,
            ..bare()
        };
        let service = "MG0123456789abcdef0123456789abcdef".parse().ok();
        let sender = SenderHint { address: Some("+15550009999".to_owned()), service };
        let parked = |target, orphaned| Parked {
            evidence: Evidence {
                account,
                target,
                label: "reply".to_owned(),
                occurred_at: at(8),
                time_source: TimeSource::App,
                source: SignalSource::Call,
            },
            parked_at: at(9),
            until: at(10),
            reason: Reason::SenderUnknown,
            orphaned,
            code: Some(TypedCode { matching: vec![sid], not_matching: vec![sid] }),
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
        let caller = parked(EvidenceTarget::Caller { recipient, whatsapp, sender }, false);
        let message = Message { parked_evidence: Some(Box::new(caller.clone())), ..message };
        (message, caller, parked(EvidenceTarget::Link(id), true), link)
    }

    fn sum(bytes: &[u8]) -> String {
        let digest = Sha256::digest(bytes);
        format!("{} bytes, {}", bytes.len(), &hex(&digest)[..16])
    }

    /// A type may change for the sake of JSON, but its bytes on disk must stay.
    #[test]
    fn records_have_the_bytes_of_format_6() {
        let (message, caller, opened, link) = full();
        let sums = [
            sum(&encode(&message).expect("encoded")),
            sum(&encode(&caller).expect("encoded")),
            sum(&encode(&opened).expect("encoded")),
            sum(&encode(&link).expect("encoded")),
        ];
        let expected = [
            "553 bytes, 175a2afe9b00de5f",
            "197 bytes, 10b00464881f9ec8",
            "145 bytes, f8c8c762be2b8ab1",
            "100 bytes, 5f733e73419804cf",
        ];
        assert_eq!(sums, expected);
        assert_eq!(decode::<Message>(&encode(&message).expect("encoded")).expect("read"), message);
    }

    #[test]
    fn a_record_of_another_version_is_not_read() {
        let mut bytes = encode(&bare()).expect("encoded");
        for version in [VERSION - 1, VERSION + 1] {
            bytes[0] = version;
            assert!(decode::<Message>(&bytes).is_err(), "{version}");
        }
    }
}

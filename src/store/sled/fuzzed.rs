//! The claim of the fuzz target `record` (`fuzz/`): no bytes on the disk make a reader panic. A record that is encoded
//! and decoded again is unchanged, with the same keys.
//!
//! The checks are here because records and keys are private to the store. They are compiled for tests, which replay the
//! target's corpus, and for the fuzzer (`--cfg fuzzing`), but not into the service.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::click_link::Link;
use crate::domain::matching::{Parked, Policy, Resend};
use crate::domain::message::{Message, State};
use crate::domain::sid::ServiceSid;
use crate::domain::signal::Evidence;
use crate::store::sled::index::{Index, IndexEntry};
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;
use crate::store::sled::record::{decode, encode};
use crate::store::sled::rows::parked_key;

const POLICY: Policy = Policy {
    pending_ttl: Duration::from_hours(24 * 7),
    reply_window: Duration::from_mins(10),
    event_window: Duration::from_mins(10),
    retention: Duration::from_hours(24 * 30),
    read_confirms: false,
    resend: Resend::Newest,
};

/// Reads `data` as a value of every kind, in every version, and as a key.
///
/// # Panics
/// If the claim does not hold.
pub fn holds(data: &[u8]) {
    if let Some(message) = check_round_trip::<Message>(data) {
        check_index(&message);
    }
    if let Some(link) = check_round_trip::<Link>(data) {
        let _ = (link.target.host().len(), POLICY.link_until(&link));
    }
    if let Some(parked) = check_round_trip::<Parked>(data) {
        let key = parked_key(&parked).map_err(|error| error.to_string());
        assert!(
            key.is_ok_and(|key| keys::scan_prefix(&key).is_some_and(|scan| key.starts_with(scan)))
        );
    }
    check_round_trip::<Evidence>(data);
    check_round_trip::<ServiceSid>(data);
    check_round_trip::<Vec<u8>>(data);
    read_as_key(data);
}

/// Decodes a record. Encoded and decoded again, it must be equal, and its next encoding must have the same bytes.
fn check_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let record: T = decode(data).ok()?;
    let bytes = encode(&record).unwrap_or_default();
    let again: Option<T> = decode(&bytes).ok();
    assert_eq!(again.as_ref(), Some(&record), "an encoded record decodes to itself");
    assert_eq!(
        again.and_then(|again| encode(&again).ok()),
        Some(bytes),
        "and encodes to the same bytes"
    );
    Some(record)
}

/// Checks that the reference entry names the message, and that the index finds the message by its state.
fn check_index(message: &Message) {
    if let Some(key) = keys::reference_entry(message) {
        assert_eq!(keys::read_reference_entry(&key), Some(message.sid));
    }
    let mut index = Index::default();
    index.insert(&IndexEntry::of(message, &POLICY));
    let due = index.accounts_with_due().flat_map(|account| index.due_of(account, 2));
    let waits = message.state == State::Confirmed && message.delivery.due_at.is_some();
    assert_eq!(due.count(), usize::from(waits));
    index.remove(&IndexEntry::of(message, &POLICY));
    assert_eq!(index.accounts_with_due().count(), 0);
    let mut aged = message.clone();
    aged.apply_expiry(Timestamp::MAX);
    let _ = (POLICY.kept_until(&aged), keys::message(aged.sid));
}

fn read_as_key(data: &[u8]) {
    let _ = (keys::read_reference_entry(data), keys::read_link(data), keys::scan_prefix(data));
    if let Some(seal) = Seal::from_bytes(data) {
        assert_eq!(Some(seal.to_bytes().as_slice()), data.get(..16));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_record_of_the_corpus_is_read_as_the_fuzz_target_claims() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/record");
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpus).expect("a corpus") {
            super::holds(&std::fs::read(entry.expect("readable").path()).expect("readable"));
            replayed += 1;
        }
        assert!(replayed >= 10, "only {replayed} inputs");
    }
}

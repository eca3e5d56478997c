//! The keys of the one tree: a byte for the kind, then big-endian fields, so that keys sort by these fields.
//!
//! Each entry ever live costs about 42 B of memory and 390 B of disk (docs/design.md, "Durability"). So a message has only
//! its record, and an entry for its reference: other searches use an index in memory (`index`). No entry is sorted by
//! expiry: a sweep walks the records.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::address::RecipientHash;
use crate::domain::click_link::{Link, LinkId};
use crate::domain::clock::LastSeen;
use crate::domain::matching::{Parked, WaitsFor};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, CallSid, MessageSid};
use crate::domain::signal::DedupKey;

/// Accounts on hold.
pub(super) const HOLD: u8 = b'h';
/// Deduplication keys of the inbound messages, calls and events that were counted.
pub(super) const DEDUP: u8 = b'i';
/// Persons whose texts are automatic.
pub(super) const AUTOMATIC: u8 = b'j';
/// Parked evidence.
pub(super) const PARKED: u8 = b'k';
/// Click links.
pub(super) const LINK: u8 = b'l';
/// Messages.
pub(super) const MESSAGE: u8 = b'm';
/// Tied names of a person, by account and name.
pub(super) const NAMES: u8 = b'n';
/// Click links that are not in a message yet, by their reference.
const LINK_REFERENCE: u8 = b'q';
/// Messages by reference and creation time.
const REFERENCE: u8 = b'r';
/// Messaging Services by account and sender.
pub(super) const SENDER: u8 = b's';

/// The capacity of a new key, in bytes. Most keys fit.
const TYPICAL_LEN: usize = 48;
/// The length of a hash or of a click link's id in a key.
const HASH_LEN: usize = 16;
/// The length of a time in a key.
const TIME_LEN: usize = 8;
/// The length of the hash at the end of a key of parked evidence.
const DIGEST_LEN: usize = 8;

/// The first key that a sweep reads. The kinds from [`DEDUP`] to [`NAMES`] are adjacent.
pub(super) const SWEEP_FROM: [u8; 1] = [DEDUP];
/// The end of the keys that a sweep reads, exclusive.
pub(super) const SWEEP_TO: [u8; 1] = [NAMES + 1];

/// The store's own secret for hashing recipients.
pub(super) const RECIPIENT_HASH_KEY: &[u8] = b"!person-key";
/// A value that depends on the key that hashes recipients: it detects that the key was replaced.
pub(super) const PERSON_CHECK: &[u8] = b"!person-check";
/// The number of batches, and the checksum of all entries.
pub(super) const SEAL: &[u8] = b"!seal";
/// The first byte of keys of the store's own state. The seal does not cover them.
pub(super) const META_PREFIX: u8 = b'!';
/// The trusted time at one of the last commits.
pub(super) const LAST_SEEN: &[u8] = b"!last-seen";
/// Written by the health check, to prove that the store can write.
pub(super) const HEALTH: &[u8] = b"!health";

/// The value of [`LAST_SEEN`].
pub(super) fn last_seen(last: LastSeen) -> Vec<u8> {
    let times = [last.at].into_iter().chain(last.unsupported.into_iter().flat_map(<[_; 2]>::from));
    times.flat_map(|time| time.as_millisecond().to_be_bytes()).collect()
}

/// Reads the value of [`LAST_SEEN`]. `None`: it is damaged.
pub(super) fn read_last_seen(value: &[u8]) -> Option<LastSeen> {
    let (times, rest) = value.as_chunks::<8>();
    let time = |bytes: &[u8; 8]| Timestamp::from_millisecond(i64::from_be_bytes(*bytes)).ok();
    match times {
        [at] if rest.is_empty() => Some(time(at)?.into()),
        [at, expected, until] if rest.is_empty() => {
            let unsupported = Some((time(expected)?, time(until)?));
            Some(LastSeen { at: time(at)?, unsupported })
        }
        _ => None,
    }
}

/// The beginning of a key.
fn begin(kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(TYPICAL_LEN);
    key.push(kind);
    key
}

fn begin_parked(kind: u8) -> Vec<u8> {
    let mut key = begin(PARKED);
    key.push(kind);
    key
}

pub(super) fn message(sid: MessageSid) -> Vec<u8> {
    let mut key = begin(MESSAGE);
    sid.pack_into(&mut key);
    key
}

pub(super) fn hold(account: AccountSid) -> Vec<u8> {
    let mut key = begin(HOLD);
    account.pack_into(&mut key);
    key
}

pub(super) fn read_hold(key: &[u8]) -> Option<AccountSid> {
    AccountSid::unpack(key.get(1..)?)
}

/// A call's SID follows a `c`, and an event's hash an `e`. A message's packed SID begins with a tag that is no letter.
pub(super) fn dedup(dedup_key: &DedupKey) -> Vec<u8> {
    let mut key = begin(DEDUP);
    match dedup_key {
        DedupKey::Message(sid) => sid.pack_into(&mut key),
        DedupKey::Call(sid) => {
            key.push(b'c');
            sid.pack_into(&mut key);
        }
        DedupKey::Event(hash) => {
            key.push(b'e');
            key.extend_from_slice(hash);
        }
    }
    key
}

pub(super) fn read_dedup(key: &[u8]) -> Option<DedupKey> {
    match key.get(1..)? {
        [b'c', sid @ ..] => CallSid::unpack(sid).map(DedupKey::Call),
        [b'e', hash @ ..] => hash.try_into().ok().map(DedupKey::Event),
        sid => MessageSid::unpack(sid).map(DedupKey::Message),
    }
}

pub(super) fn link(id: LinkId) -> Vec<u8> {
    let mut key = begin(LINK);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The prefix of the click links of a reference that are not in a message yet.
pub(super) fn links_prefix(account: AccountSid, reference: &Reference) -> Vec<u8> {
    let mut key = begin(LINK_REFERENCE);
    key.extend_from_slice(&reference_hash(account, reference));
    key
}

/// The key by which a click link is found from its reference, if it has one.
pub(super) fn link_reference_entry(id: LinkId, link: &Link) -> Option<Vec<u8>> {
    let mut key = links_prefix(link.account, link.reference.as_ref()?);
    key.extend_from_slice(id.as_bytes());
    Some(key)
}

/// The click link of a key from [`link`] or [`link_reference_entry`].
pub(super) fn read_link(key: &[u8]) -> Option<LinkId> {
    key.last_chunk().copied().map(LinkId::from_bytes)
}

pub(super) fn sender(account: AccountSid, address: &str) -> Vec<u8> {
    let mut key = begin(SENDER);
    account.pack_into(&mut key);
    key.extend_from_slice(address.as_bytes());
    key
}

pub(super) fn read_sender(key: &[u8]) -> Option<(AccountSid, &str)> {
    let key = key.get(1..)?;
    let (account, address) = key.split_at_checked(AccountSid::packed_len(key)?)?;
    Some((AccountSid::unpack(account)?, std::str::from_utf8(address).ok()?))
}

pub(super) fn automatic(person: RecipientHash) -> Vec<u8> {
    let mut key = begin(AUTOMATIC);
    key.extend_from_slice(person.as_bytes());
    key
}

pub(super) fn read_automatic(key: &[u8]) -> Option<RecipientHash> {
    key.get(1..)?.try_into().ok().map(RecipientHash::from_bytes)
}

pub(super) fn names(account: AccountSid, person: RecipientHash) -> Vec<u8> {
    let mut key = begin(NAMES);
    account.pack_into(&mut key);
    key.extend_from_slice(person.as_bytes());
    key
}

pub(super) fn read_names(key: &[u8]) -> Option<(AccountSid, RecipientHash)> {
    let key = key.get(1..)?;
    let (account, person) = key.split_at_checked(AccountSid::packed_len(key)?)?;
    Some((AccountSid::unpack(account)?, RecipientHash::from_bytes(person.try_into().ok()?)))
}

/// The prefix of the messages with a reference.
pub(super) fn reference_prefix(account: AccountSid, reference: &Reference) -> Vec<u8> {
    let mut key = begin(REFERENCE);
    key.extend_from_slice(&reference_hash(account, reference));
    key
}

/// Appends a time, by which the keys with this prefix sort.
fn with_time(mut prefix: Vec<u8>, at: Timestamp) -> Vec<u8> {
    prefix.extend_from_slice(&timestamp_bytes(at));
    prefix
}

/// The message of a key from [`reference_entry`].
pub(super) fn read_reference_entry(key: &[u8]) -> Option<MessageSid> {
    MessageSid::unpack(key.get(1 + HASH_LEN + TIME_LEN..)?)
}

/// The key by which a message is found from its reference, if it has one.
pub(super) fn reference_entry(message: &Message) -> Option<Vec<u8>> {
    let name = message.reference.as_ref()?;
    let mut key = with_time(reference_prefix(message.account, name), message.created_at);
    message.sid.pack_into(&mut key);
    Some(key)
}

/// The prefix of the evidence that is parked under a key.
pub(super) fn parked_prefix(key: &WaitsFor) -> Vec<u8> {
    match key {
        WaitsFor::Message(sid) => {
            let mut key = begin_parked(b'm');
            sid.pack_into(&mut key);
            key
        }
        WaitsFor::Reference(account, reference) => {
            let mut key = begin_parked(b'r');
            key.extend_from_slice(&reference_hash(*account, reference));
            key
        }
        WaitsFor::Person(person) => {
            let mut key = begin_parked(b'p');
            key.extend_from_slice(person.as_bytes());
            key
        }
        WaitsFor::Link(id) => {
            let mut key = begin_parked(b'l');
            key.extend_from_slice(id.as_bytes());
            key
        }
    }
}

/// The prefix of the scans that find this key: parked evidence, a click link by reference, or tied names. `None`: the
/// presence filter does not count keys of this kind.
pub(super) fn scan_prefix(key: &[u8]) -> Option<&[u8]> {
    match key {
        [PARKED, b'm', sid @ ..] => key.get(..2 + MessageSid::packed_len(sid)?),
        [PARKED, ..] => key.get(..2 + HASH_LEN),
        [LINK_REFERENCE, ..] => key.get(..1 + HASH_LEN),
        [NAMES, ..] => Some(key),
        _ => None,
    }
}

/// The hash at the end distinguishes pieces of evidence that were parked under one key at one time.
pub(super) fn parked(parked: &Parked, value: &[u8]) -> Vec<u8> {
    let prefix = parked_prefix(&WaitsFor::of(&parked.evidence));
    let mut key = with_time(prefix, parked.parked_at);
    key.extend(Sha256::digest(value).iter().take(DIGEST_LEN));
    key
}

fn reference_hash(account: AccountSid, reference: &Reference) -> [u8; HASH_LEN] {
    let digest = Sha256::new()
        .chain_update(account.as_str())
        .chain_update(b"\0")
        .chain_update(reference.as_str())
        .finalize();
    let mut hash = [0; HASH_LEN];
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = from;
    }
    hash
}

/// Milliseconds, shifted so that times before 1970 sort first.
fn timestamp_bytes(at: Timestamp) -> [u8; TIME_LEN] {
    (at.as_millisecond().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

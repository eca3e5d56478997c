//! Keys: one tree, a prefix byte a kind, big-endian, so that order is meaning.
//!
//! Each entry ever live costs about 42 B of memory and 390 B of disk (docs/design.md, "Durability"), so a message
//! has its record, and one entry by reference if it bears one. What else it is found by is worked out
//! from the records (`index`). Nothing is indexed by expiry: a sweep walks the records.

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
pub(super) const PAUSED: u8 = b'h';
/// Inbound messages, calls and events that were counted.
pub(super) const SEEN: u8 = b'i';
/// Persons whose texts are automatic.
pub(super) const AUTOMATIC: u8 = b'j';
/// Evidence that waits for its message.
pub(super) const PARKED: u8 = b'k';
/// Click links.
pub(super) const LINK: u8 = b'l';
/// Messages.
pub(super) const MESSAGE: u8 = b'm';
/// Tied names of one person, by account and name.
pub(super) const NAMES: u8 = b'n';
/// Click links that are not yet in a message, by the reference that they were made for.
const LINK_REFERENCE: u8 = b'q';
/// Messages by reference and creation.
const REFERENCE: u8 = b'r';
/// Messaging Services by account and sender.
pub(super) const SENDER: u8 = b's';

/// Room for most keys, in bytes.
const USUAL: usize = 48;

/// The first key that a sweep reads. Seen, automatic, parked, links, messages and names lie side by side.
pub(super) const SWEEP_FROM: [u8; 1] = [SEEN];
/// The first key after those that a sweep looks at.
pub(super) const SWEEP_TO: [u8; 1] = [NAMES + 1];

/// The store's own secret for hashing recipients.
pub(super) const PERSON_KEY: &[u8] = b"!person-key";
/// Tells whether the key that hashes recipients is still the one the records were made with.
pub(super) const PERSON_CHECK: &[u8] = b"!person-check";
/// How many batches were written, and what all entries come to.
pub(super) const SEAL: &[u8] = b"!seal";
/// What the keys of the store's own affairs begin with; the seal does not cover them.
pub(super) const OWN: u8 = b'!';
/// The trusted time at one of the last commits.
pub(super) const LAST_SEEN: &[u8] = b"!last-seen";
/// Written to prove that writing works.
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

/// A key of that kind, with room for all that follows in most.
fn begin(kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(USUAL);
    key.push(kind);
    key
}

fn begin_parked(waits_for: u8) -> Vec<u8> {
    let mut key = begin(PARKED);
    key.push(waits_for);
    key
}

pub(super) fn message(sid: MessageSid) -> Vec<u8> {
    let mut key = begin(MESSAGE);
    sid.pack_into(&mut key);
    key
}

pub(super) fn paused(account: AccountSid) -> Vec<u8> {
    let mut key = begin(PAUSED);
    account.pack_into(&mut key);
    key
}

/// The account that such a key names.
pub(super) fn read_paused(key: &[u8]) -> Option<AccountSid> {
    AccountSid::unpack(key.get(1..)?)
}

/// A packed message's SID begins with a tag that is no letter.
pub(super) fn marked(mark: &DedupKey) -> Vec<u8> {
    let mut key = begin(SEEN);
    match mark {
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

/// What such a key stands for.
pub(super) fn read_marked(key: &[u8]) -> Option<DedupKey> {
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

/// All click links made for a reference that are not yet in a message.
pub(super) fn links_for(account: AccountSid, reference: &Reference) -> Vec<u8> {
    let mut key = begin(LINK_REFERENCE);
    key.extend_from_slice(&reference_hash(account, reference));
    key
}

/// The index entry of a click link with a reference.
pub(super) fn link_index(id: LinkId, link: &Link) -> Option<Vec<u8>> {
    let mut key = links_for(link.account, link.reference.as_ref()?);
    key.extend_from_slice(id.as_bytes());
    Some(key)
}

/// The click link that a key names, be it its own or that of its index entry.
pub(super) fn read_link(key: &[u8]) -> Option<LinkId> {
    key.last_chunk().copied().map(LinkId::from_bytes)
}

pub(super) fn sender(account: AccountSid, address: &str) -> Vec<u8> {
    let mut key = begin(SENDER);
    account.pack_into(&mut key);
    key.extend_from_slice(address.as_bytes());
    key
}

/// The account and the sender that such a key names.
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

/// The person that such a key names.
pub(super) fn read_automatic(key: &[u8]) -> Option<RecipientHash> {
    key.get(1..)?.try_into().ok().map(RecipientHash::from_bytes)
}

pub(super) fn names(account: AccountSid, person: RecipientHash) -> Vec<u8> {
    let mut key = begin(NAMES);
    account.pack_into(&mut key);
    key.extend_from_slice(person.as_bytes());
    key
}

/// The account and the person that such a key names.
pub(super) fn read_names(key: &[u8]) -> Option<(AccountSid, RecipientHash)> {
    let key = key.get(1..)?;
    let (account, person) = key.split_at_checked(AccountSid::packed_len(key)?)?;
    Some((AccountSid::unpack(account)?, RecipientHash::from_bytes(person.try_into().ok()?)))
}

/// All messages that bear a reference.
pub(super) fn reference(account: AccountSid, reference: &Reference) -> Vec<u8> {
    let mut key = begin(REFERENCE);
    key.extend_from_slice(&reference_hash(account, reference));
    key
}

/// The same, created at one moment or later.
fn created(mut prefix: Vec<u8>, at: Timestamp) -> Vec<u8> {
    prefix.extend_from_slice(&timestamp_bytes(at));
    prefix
}

/// The message that such an entry names.
pub(super) fn read_named(key: &[u8]) -> Option<MessageSid> {
    MessageSid::unpack(key.get(1 + 16 + 8..)?)
}

/// The entry by which a message is found that bears a reference.
pub(super) fn reference_of(message: &Message) -> Option<Vec<u8>> {
    let name = message.reference.as_ref()?;
    let mut key = created(reference(message.account, name), message.created_at);
    message.sid.pack_into(&mut key);
    Some(key)
}

/// All evidence parked under one key.
pub(super) fn parked_for(key: &WaitsFor) -> Vec<u8> {
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

/// What the scan begins with that looks for such a key: one for what waits, be it evidence or a link.
pub(super) fn scanned(key: &[u8]) -> Option<&[u8]> {
    match key {
        [PARKED, b'm', sid @ ..] => key.get(..2 + MessageSid::packed_len(sid)?),
        [PARKED, ..] => key.get(..2 + 16),
        [LINK_REFERENCE, ..] => key.get(..1 + 16),
        [NAMES, ..] => Some(key),
        _ => None,
    }
}

/// One piece of parked evidence. The end tells apart what waits for the same since the same moment.
pub(super) fn parked(parked: &Parked, value: &[u8]) -> Vec<u8> {
    let prefix = parked_for(&WaitsFor::of(&parked.evidence));
    let mut key = created(prefix, parked.parked_at);
    key.extend(Sha256::digest(value).iter().take(8));
    key
}

fn reference_hash(account: AccountSid, reference: &Reference) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(account.as_str())
        .chain_update(b"\0")
        .chain_update(reference.as_str())
        .finalize();
    let mut hash = [0; 16];
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = from;
    }
    hash
}

/// Milliseconds, shifted so that moments before 1970 sort first.
fn timestamp_bytes(at: Timestamp) -> [u8; 8] {
    (at.as_millisecond().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

//! The messages that hold the evidence that confirmed them, by the key of that evidence.
//!
//! This index is built from the records when the store opens. A message holds evidence only until a post of it may have
//! reached Twilio, so few messages do, except in a dry run or an outage. The index has no evidence and no key, only a hash of
//! eight bytes: the message's record has the evidence.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use crate::domain::matching::WaitsFor;
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;
use crate::store::sled::keys;

/// A message that holds evidence, and the hash of that evidence's key.
pub(crate) type HeldBy = (u64, MessageSid);

/// All messages that hold evidence, by the hash of its key. No list is empty.
#[derive(Default)]
pub(crate) struct EvidenceHolders(BTreeMap<u64, Vec<MessageSid>>);

/// The entry of a message, if it holds evidence.
pub(crate) fn held_by(message: &Message) -> Option<HeldBy> {
    Some((hash(&keys::parked_prefix(&WaitsFor::of_message(message)?)), message.sid))
}

impl EvidenceHolders {
    /// Whether a message may hold evidence under a key.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains_key(&hash(key))
    }

    /// The messages that hold evidence under a key. A hash collision may add another message.
    pub(crate) fn under(&self, key: &[u8]) -> Vec<MessageSid> {
        self.0.get(&hash(key)).cloned().unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, (of, sid): HeldBy) {
        self.0.entry(of).or_default().push(sid);
    }

    pub(crate) fn remove(&mut self, (of, sid): HeldBy) {
        if let Some(sids) = self.0.get_mut(&of) {
            sids.retain(|held| *held != sid);
            if sids.is_empty() {
                self.0.remove(&of);
            }
        }
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

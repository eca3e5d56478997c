//! The messages that this receiver wrote last. They only suggest which further rows a command needs, so that these are locked
//! and loaded at once. No decision uses them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::postgres::cache::{Changed, Loaded, Read};

/// The most messages, about four megabytes.
const MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Hints(Mutex<State>);

#[derive(Default)]
struct State {
    messages: HashMap<MessageSid, Message>,
    /// The message that was written last with a reference.
    references: HashMap<(AccountSid, Reference), MessageSid>,
    order: VecDeque<MessageSid>,
}

impl State {
    fn remove(&mut self, sid: MessageSid) {
        let removed = self.messages.remove(&sid);
        let key = removed.and_then(|message| Some((message.account, message.reference?)));
        if let Some(key) = key
            && self.references.get(&key) == Some(&sid)
        {
            self.references.remove(&key);
        }
    }
}

impl Hints {
    /// Keeps the messages of a commit.
    pub(super) fn add(&self, changed: &Changed) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (sid, message) in &changed.messages {
            let Some(message) = message else {
                state.remove(*sid);
                continue;
            };
            if let Some(reference) = &message.reference {
                state.references.insert((message.account, reference.clone()), *sid);
            }
            if state.messages.insert(*sid, message.clone()).is_none() {
                state.order.push_back(*sid);
            }
        }
        while state.order.len() > MAX {
            if let Some(oldest) = state.order.pop_front() {
                state.remove(oldest);
            }
        }
    }

    /// Answers reads as if the messages were still the same. Returns `false` if it knows none of them.
    pub(super) fn answer(&self, reads: &BTreeSet<Read>, loaded: &mut Loaded) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut knows = false;
        for read in reads {
            let sid = if let Read::Message(sid) = read {
                Some(*sid)
            } else if let Read::Reference(account, reference, _) = read {
                state.references.get(&(*account, reference.clone())).copied()
            } else {
                None
            };
            let Some(message) = sid.and_then(|sid| state.messages.get(&sid)) else { continue };
            knows = true;
            if matches!(read, Read::Reference(..)) {
                loaded.to.insert(read.clone(), vec![message.sid]);
            }
            loaded.messages.insert(message.sid, Some((message.clone(), 0)));
        }
        knows
    }
}

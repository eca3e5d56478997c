//! The stored result of a typed code: the messages that it matched and those that it did not match. Never the code.

use serde::{Deserialize, Serialize};

use crate::domain::code::Probe;
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;

/// The most messages noted in each list.
const MOST: usize = 64;

/// The comparison of a typed code with the messages that were known when it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypedCode {
    /// The messages whose code it is.
    pub of: Vec<MessageSid>,
    /// The messages whose code is another one.
    pub not_of: Vec<MessageSid>,
}

impl TypedCode {
    /// Compares a probe with the codes of messages. The flag beside each message says whether it is recent: only then
    /// a short number may be its code. `None` if the probe contains no code.
    #[must_use]
    pub(super) fn compared<'a>(
        probe: &Probe,
        among: impl Iterator<Item = (&'a Message, bool)>,
    ) -> Option<Self> {
        let mut typed = Self::default();
        for (message, is_recent) in among {
            let Some(code) = &message.code else { continue };
            let is_its_code = if is_recent {
                probe.proves(message.sid, code)
            } else {
                probe.proves_surely(message.sid, code)
            };
            let list = if is_its_code { &mut typed.of } else { &mut typed.not_of };
            if list.len() < MOST {
                list.push(message.sid);
            }
        }
        (probe.is_code() || !typed.of.is_empty()).then_some(typed)
    }

    /// Whether a message has a code that the typed code was never compared with.
    #[must_use]
    pub(super) fn may_be_of(&self, message: &Message) -> bool {
        message.code.is_some() && !self.is_compared_with(message)
    }

    /// Whether the code was compared with this message's. At the end of its lifetime, a message loses its code.
    #[must_use]
    pub(super) fn is_compared_with(&self, message: &Message) -> bool {
        self.of.contains(&message.sid) || self.not_of.contains(&message.sid)
    }
}

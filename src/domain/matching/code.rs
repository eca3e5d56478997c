//! What is kept of a typed code: the messages whose code it is, and those whose code it is not. Never the code.

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::code::Probe;
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;

/// The most messages that are noted. As many are compared with one piece of evidence.
const MOST: usize = 64;

/// Which messages a typed code is of, as far as they were known when it came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypedCode {
    /// The messages whose code it is.
    pub of: Vec<MessageSid>,
    /// The messages whose code is another one.
    pub not_of: Vec<MessageSid>,
}

/// Reads what is kept of a code. Exports of earlier releases say only whether there was a number.
pub(super) fn kept<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TypedCode>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Typed(TypedCode),
        HeldNumber(bool),
    }
    if !from.is_human_readable() {
        return Option::deserialize(from);
    }
    Ok(match Option::<Kept>::deserialize(from)? {
        Some(Kept::Typed(typed)) => Some(typed),
        Some(Kept::HeldNumber(true)) => Some(TypedCode::default()),
        Some(Kept::HeldNumber(false)) | None => None,
    })
}

impl TypedCode {
    /// Compares a probe with the codes of messages: `recent` ones, of which a short number may be the code, and all.
    /// `None` if it holds no code.
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

    /// Whether a message has a code that this one was never compared with.
    #[must_use]
    pub(super) fn may_be_of(&self, message: &Message) -> bool {
        message.code.is_some()
            && !self.of.contains(&message.sid)
            && !self.not_of.contains(&message.sid)
    }
}

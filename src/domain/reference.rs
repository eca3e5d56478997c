//! The reference: the app's own name for the thing that a message belongs to, such as a login.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest reference, in bytes.
pub const MAX_REFERENCE: usize = 128;

/// The app's own name, opaque, of at most [`MAX_REFERENCE`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Reference(String);

impl Reference {
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_REFERENCE).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text formats may be written by hand, so they are checked. The store's own format is not.
impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let is_by_hand = from.is_human_readable();
        let text = String::deserialize(from)?;
        if !is_by_hand {
            return Ok(Self(text));
        }
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected 1 to 128 bytes"))
    }
}

//! The reference: the app's own name for the thing that a message belongs to, such as a login.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest reference, in bytes.
pub const MAX_REFERENCE: usize = 128;

/// The app's own name for what a message belongs to (a login, an order). Opaque, ≤ 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Reference(String);

impl Reference {
    /// Reads a reference. `None` if it is empty or longer than [`MAX_REFERENCE`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_REFERENCE).then(|| Self(text.to_owned()))
    }

    /// The reference as the app wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person may have written is read as strictly as at first.
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

//! Moments at rest: where people read, as text with milliseconds (RFC 3339); in a store, as milliseconds since
//! 1970. Nothing that is kept is finer than that.
//!
//! For `#[serde(with)]`; what may be absent is in [`optional`].

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::millisecond;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes it.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() {
        return to.serialize_str(&format!("{at:.3}"));
    }
    millisecond::required::serialize(at, to)
}

/// Reads it.
///
/// # Errors
/// It is none.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    if from.is_human_readable() {
        let text = Cow::<'de, str>::deserialize(from)?;
        let at = text.parse::<Timestamp>();
        // A store could not read it again: jiff takes the last second's other milliseconds from text alone.
        let at = at.and_then(|at| Timestamp::from_millisecond(at.as_millisecond()));
        // What is wrong with it would quote it.
        let expected = "expected a time such as 2026-01-31T12:00:00.000Z";
        return at.map_err(|_| serde::de::Error::custom(expected));
    }
    millisecond::required::deserialize(from)
}

/// The same, of one that may be absent.
pub mod optional {
    use jiff::Timestamp;
    use jiff::fmt::serde::timestamp::millisecond;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct TimestampVisitor(#[serde(with = "super")] Timestamp);

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return at.map(TimestampVisitor).serialize(to);
        }
        millisecond::optional::serialize(at, to)
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        if from.is_human_readable() {
            let at = Option::<TimestampVisitor>::deserialize(from)?;
            return Ok(at.map(|TimestampVisitor(at)| at));
        }
        millisecond::optional::deserialize(from)
    }
}

/// Truncates a time to milliseconds, as the store keeps it: a comparison with a stored time must not be finer. In jiff's last
/// second only the first instant can be read again, so later ones become that.
#[must_use]
pub fn to_millisecond(moment: Timestamp) -> Timestamp {
    let whole = || Timestamp::from_second(moment.as_second());
    Timestamp::from_millisecond(moment.as_millisecond()).or_else(|_| whole()).unwrap_or(moment)
}

/// A moment later by so much, or the end of time.
#[must_use]
pub fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(to_millisecond(Timestamp::MAX))
}

/// A moment earlier by so much, or the beginning of time.
#[must_use]
pub fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

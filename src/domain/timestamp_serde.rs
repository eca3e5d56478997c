//! Serde for timestamps: RFC 3339 with milliseconds in text formats, milliseconds since 1970 in the store.
//!
//! No stored time is finer. For `#[serde(with)]`, and [`optional`] for an `Option`.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::millisecond;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a timestamp.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() {
        return to.serialize_str(&format!("{at:.3}"));
    }
    millisecond::required::serialize(at, to)
}

/// Reads a timestamp.
///
/// # Errors
/// The value is no timestamp.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    if from.is_human_readable() {
        let text = Cow::<'de, str>::deserialize(from)?;
        let at = text.parse::<Timestamp>();
        // The store could not read other milliseconds of jiff's last second, which jiff parses only from text.
        let at = at.and_then(|at| Timestamp::from_millisecond(at.as_millisecond()));
        // jiff's own error would repeat the text.
        let expected = "expected a time such as 2026-01-31T12:00:00.000Z";
        return at.map_err(|_| serde::de::Error::custom(expected));
    }
    millisecond::required::deserialize(from)
}

/// The format of an `Option<Timestamp>`.
pub mod optional {
    use jiff::Timestamp;
    use jiff::fmt::serde::timestamp::millisecond;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct TimestampVisitor(#[serde(with = "super")] Timestamp);

    /// Writes a timestamp, or none.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return at.map(TimestampVisitor).serialize(to);
        }
        millisecond::optional::serialize(at, to)
    }

    /// Reads a timestamp, or none.
    ///
    /// # Errors
    /// The value is no timestamp.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        if from.is_human_readable() {
            let at = Option::<TimestampVisitor>::deserialize(from)?;
            return Ok(at.map(|TimestampVisitor(at)| at));
        }
        millisecond::optional::deserialize(from)
    }
}

/// Truncates a time to milliseconds, the stored precision, for comparisons with stored times. In jiff's last second,
/// only the first instant can be read again.
pub fn to_millisecond(moment: Timestamp) -> Timestamp {
    let whole = || Timestamp::from_second(moment.as_second());
    Timestamp::from_millisecond(moment.as_millisecond()).or_else(|_| whole()).unwrap_or(moment)
}

/// Adds a duration, limited by the latest time.
pub fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(to_millisecond(Timestamp::MAX))
}

/// Subtracts a duration, limited by the earliest time.
pub fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

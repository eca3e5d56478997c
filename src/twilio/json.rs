//! JSON with its members in order, repeats included, so that the first of a name counts. `serde_json::Value` would keep
//! the last.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::domain::signal::Malformed;

/// The members of an object.
pub type Members = Vec<(String, Json)>;

/// A value. `serde_json` limits the depth.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// A text, a number or a boolean, as text.
    Scalar(String),
    Array(Vec<Json>),
    Object(Members),
}

impl Json {
    /// Parses a text that is one value.
    ///
    /// # Errors
    /// [`Malformed::Json`], with the position, but no part of the text.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(text).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                serde_json::error::Category::Data => "something else was found",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                    "syntax error"
                }
            };
            Malformed::Json(format!("{what}, line {}, column {}", error.line(), error.column()))
        })
    }

    /// The members, if this is an object.
    pub fn members(&self) -> Option<&[(String, Json)]> {
        match self {
            Self::Object(members) => Some(members),
            Self::Null | Self::Scalar(_) | Self::Array(_) => None,
        }
    }
}

/// The first member of that name which is not null.
pub fn member<'a>(members: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    members.iter().find(|(known, value)| known == name && *value != Json::Null).map(|(_, of)| of)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// 2⁵³. From here on, neighbouring integers have one floating-point value: two references would become one. Such a
/// number counts as absent.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Scalar(text.to_owned()))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        let is_exact = value.abs() < INEXACT_FROM;
        Ok(if is_exact { Json::Scalar(value.to_string()) } else { Json::Null })
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_the_first_that_is_there_counts() {
        let json = Json::parse(br#"{"a":null,"b":1,"a":"x","a":{"c":[true,1.5]}}"#).expect("JSON");
        let members = json.members().expect("an object");
        assert_eq!(members.len(), 4);
        assert_eq!(member(members, "a"), Some(&Json::Scalar("x".to_owned())));
        assert_eq!(member(members, "c"), None);
    }

    #[test]
    fn a_number_keeps_its_digits_or_counts_as_absent() {
        let max = u64::MAX;
        for text in [max.to_string(), i64::MIN.to_string(), "-1.5".to_owned(), "0".to_owned()] {
            assert_eq!(Json::parse(text.as_bytes()), Ok(Json::Scalar(text)));
        }
        for text in ["18446744073709551616", "-9223372036854775809", "1e17", "9007199254740992.0"] {
            assert_eq!(Json::parse(text.as_bytes()), Ok(Json::Null), "{text}");
        }
    }

    #[test]
    fn invalid_or_far_too_deep_json_is_malformed() {
        let deep = "[".repeat(100_000);
        for text in ["", "[", "{\"a\":}", "[1]x", "\"\u{0}\"", deep.as_str()] {
            assert!(matches!(Json::parse(text.as_bytes()), Err(Malformed::Json(_))), "{text:.20}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
    }
}

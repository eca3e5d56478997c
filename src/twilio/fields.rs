//! Fields by name, from a form, a query or a JSON object. Of repeated fields the first counts; two different values of a
//! SID are an error.

use jiff::Timestamp;

use crate::domain::address::Address;
use crate::domain::message::{MAX_REFERENCE, Reference};
use crate::domain::sid::{AccountSid, Sid, SidKind};
use crate::domain::signal::Malformed;
use crate::twilio::form::{FormPair, Text};
use crate::twilio::json::{Json, member};
use crate::twilio::placeholder::{is_placeholder, is_shared_placeholder};
use crate::twilio::timestamps;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSpelling {
    /// As in Twilio's callbacks: `MessageSid`.
    Twilio,
    /// As apps write them: `MessageSid`, `message_sid` or `messageSid`.
    Any,
}

/// The fields of a request. Empty and null values count as absent.
#[derive(Debug, Clone)]
pub struct Fields {
    /// Each name, followed by its value.
    text: String,
    /// The end of each name and of its value in `text`.
    ends: Vec<(usize, usize)>,
    spelling: FieldSpelling,
}

impl Fields {
    /// The fields of a form or a query.
    ///
    /// # Errors
    /// [`Malformed::Encoding`] if a name or a value is not UTF-8.
    pub fn from_pairs(pairs: &[FormPair<'_>], spelling: FieldSpelling) -> Result<Self, Malformed> {
        let length = |(name, value): &FormPair<'_>| name.encoded_len() + value.encoded_len();
        let mut text = Vec::with_capacity(pairs.iter().map(length).sum());
        let mut append = |part: &Text<'_>| {
            part.append_to_vec(&mut text);
            text.len()
        };
        let ends: Vec<_> =
            pairs.iter().map(|(name, value)| (append(name), append(value))).collect();
        let text = String::from_utf8(text).map_err(|_| Malformed::Encoding)?;
        // The end of one text and the start of the next may form a character only together.
        let is_whole = |(name, value): &(usize, usize)| {
            text.is_char_boundary(*name) && text.is_char_boundary(*value)
        };
        if !ends.iter().all(is_whole) {
            return Err(Malformed::Encoding);
        }
        Ok(Self { text, ends, spelling })
    }

    /// Objects and arrays inside the JSON object are ignored.
    ///
    /// # Errors
    /// [`Malformed::Json`], with the position, but no part of the body.
    pub fn from_json(body: &[u8], spelling: FieldSpelling) -> Result<Self, Malformed> {
        match Json::parse(body)? {
            Json::Object(members) => Ok(Self::from_members(&members, spelling)),
            Json::Null | Json::Scalar(_) | Json::Array(_) => {
                Err(Malformed::Json("expected an object, found an array or a scalar".to_owned()))
            }
        }
    }

    /// From the members of a JSON object that are texts, numbers, truth values, or objects that a helper library of
    /// Twilio's writes instead of a text.
    pub fn from_members(members: &[(String, Json)], spelling: FieldSpelling) -> Self {
        let ends = Vec::with_capacity(members.len());
        let mut fields = Self { text: String::new(), ends, spelling };
        for (name, value) in members {
            if let Some(value) = as_text(value) {
                fields.push(name, &value);
            }
        }
        fields
    }

    /// From one field.
    pub(super) fn single(name: &str, value: &str, spelling: FieldSpelling) -> Self {
        let mut fields = Self { text: String::new(), ends: Vec::new(), spelling };
        fields.push(name, value);
        fields
    }

    fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((name_end, self.text.len()));
    }

    /// The names and values, in their order.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = 0;
        self.ends.iter().filter_map(move |&(name_end, value_end)| {
            let name_start = std::mem::replace(&mut from, value_end);
            Some((self.text.get(name_start..name_end)?, self.text.get(name_end..value_end)?))
        })
    }

    /// The values of fields with this name, in any case and with any `_` and `-`; empty values included. For URLs that
    /// people type.
    pub(super) fn values_ignoring_case<'a>(&'a self, field: &str) -> impl Iterator<Item = &'a str> {
        fn letters(name: &str) -> impl Iterator<Item = char> {
            let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
            letters.flat_map(char::to_lowercase)
        }
        let named = self.pairs().filter(move |(name, _)| letters(name).eq(letters(field)));
        named.map(|(_, value)| value)
    }

    /// A copy, with each of the named fields that is absent here taken from `others`.
    #[must_use]
    pub fn with_missing_from(&self, others: &Self, fields: &[&str]) -> Self {
        let mut both = self.clone();
        for field in fields.iter().filter(|field| self.get(field).is_none()) {
            if let Some(value) = others.get(field) {
                both.push(field, value);
            }
        }
        both
    }

    /// The first value of a field.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.all(field).next()
    }

    /// The SID in a field, or in its alias.
    ///
    /// # Errors
    /// [`Malformed`] if it is no such SID, or has two different values.
    pub fn sid<K: SidKind>(
        &self,
        field: &'static str,
        alias: Option<&str>,
    ) -> Result<Option<Sid<K>>, Malformed> {
        let mut values = self.all(field).chain(alias.into_iter().flat_map(|name| self.all(name)));
        let Some(first) = values.next() else { return Ok(None) };
        if values.any(|other| other != first) {
            return Err(Malformed::Ambiguous { field });
        }
        Sid::parse(first).map(Some).map_err(|error| Malformed::sid(field, &error))
    }

    /// The time in a field.
    ///
    /// # Errors
    /// [`Malformed`] if it is no time of a message ([`timestamps::parse`]).
    pub fn timestamp(&self, field: &'static str) -> Result<Option<Timestamp>, Malformed> {
        self.read(field, timestamps::parse)
    }

    /// The app's reference in a field.
    ///
    /// # Errors
    /// [`Malformed`] if it is too long, a person's address, or a placeholder such as `undefined`.
    pub fn reference(&self, field: &'static str) -> Result<Option<Reference>, Malformed> {
        self.reference_of(field, field)
    }

    /// The reference in a field that the settings name. An error shows `shown` as its name.
    pub(super) fn reference_of(
        &self,
        name: &str,
        shown: &'static str,
    ) -> Result<Option<Reference>, Malformed> {
        let Some(text) = self.get(name) else { return Ok(None) };
        reject_personal(shown, text)?;
        let malformed = |expected| Malformed::Field { field: shown, expected };
        if is_shared_placeholder(text) {
            let expected = "expected a reference unique to each login; this is a placeholder for a missing value";
            return Err(malformed(expected.to_owned()));
        }
        let expected = || format!("expected at most {MAX_REFERENCE} bytes, got {}", text.len());
        Reference::parse(text).map(Some).ok_or_else(|| malformed(expected()))
    }

    /// Rejects a placeholder, such as `undefined` or `null`, in these fields.
    ///
    /// # Errors
    /// [`Malformed`], naming the first such field.
    pub fn reject_placeholders(&self, fields: &[&'static str]) -> Result<(), Malformed> {
        fields.iter().try_for_each(|field| match self.get(field) {
            Some(text) if is_placeholder(text) => Err(Malformed::Field {
                field,
                expected: "expected a value; this is a placeholder for a missing one".to_owned(),
            }),
            Some(_) | None => Ok(()),
        })
    }

    pub(super) fn read<T, E: Into<String>>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Malformed> {
        let read = self.get(field).map(parse).transpose();
        read.map_err(|expected| Malformed::Field { field, expected: expected.into() })
    }

    fn all<'a, 'f>(&'a self, field: &'f str) -> impl Iterator<Item = &'a str> + use<'a, 'f> {
        self.pairs()
            .filter(move |(name, value)| !value.is_empty() && is_named(name, field, self.spelling))
            .map(|(_, value)| value)
    }
}

/// A value as text. PHP writes a `DateTime` as `{"date", "timezone"}`, Java a `PhoneNumber` as `{"endpoint"}`.
fn as_text(value: &Json) -> Option<String> {
    let scalar_member = |members: &[(String, Json)], name| match member(members, name) {
        Some(Json::Scalar(value)) => Some(value.clone()),
        Some(Json::Null | Json::Array(_) | Json::Object(_)) | None => None,
    };
    match value {
        Json::Scalar(value) => Some(value.clone()),
        Json::Object(members) => {
            match (scalar_member(members, "date"), scalar_member(members, "timezone")) {
                (Some(date), Some(zone)) => Some(format!("{date} {zone}")),
                (None, _) | (_, None) => scalar_member(members, "endpoint"),
            }
        }
        Json::Null | Json::Array(_) => None,
    }
}

/// The account that an unverified form names; `None` if it names none, several, or an invalid one.
pub fn one_account(pairs: &[FormPair<'_>], spelling: FieldSpelling) -> Option<AccountSid> {
    let named = |(name, value): &&FormPair<'_>| {
        let name = name.decoded();
        let name = std::str::from_utf8(&name);
        !value.is_empty() && name.is_ok_and(|name| is_named(name, "AccountSid", spelling))
    };
    let mut values = pairs.iter().filter(named).map(|(_, value)| value);
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    AccountSid::parse(std::str::from_utf8(&first.decoded()).ok()?).ok()
}

/// The error for a required field that is absent.
pub fn missing(field: &'static str) -> Malformed {
    Malformed::Missing { field }
}

/// Whether a name is a spelling of the field, which is given in Twilio's.
fn is_named(name: &str, field: &str, spelling: FieldSpelling) -> bool {
    if name == field {
        return true;
    }
    if spelling == FieldSpelling::Twilio {
        return false;
    }
    let camel =
        |(at, letter): (usize, char)| if at == 0 { letter.to_ascii_lowercase() } else { letter };
    let snake = |(at, letter): (usize, char)| {
        let underscore = (at > 0 && letter.is_ascii_uppercase()).then_some('_');
        underscore.into_iter().chain([letter.to_ascii_lowercase()])
    };
    name.chars().eq(field.chars().enumerate().map(camel))
        || name.chars().eq(field.chars().enumerate().flat_map(snake))
}

/// Rejects a person's address, or a text that contains one, because references and types are stored unencrypted.
///
/// # Errors
/// [`Malformed::Field`].
pub(super) fn reject_personal(field: &'static str, text: &str) -> Result<(), Malformed> {
    if !Address::is_personal(text) && !contains_number(text) && !contains_email(text) {
        return Ok(());
    }
    let expected = "expected an identifier without personal data, such as an order ID; it is stored unencrypted";
    Err(Malformed::Field { field, expected: expected.to_owned() })
}

/// Whether a text contains a full number with its plus, such as `user:+15551234567`.
fn contains_number(text: &str) -> bool {
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    text.match_indices('+').any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let is_start = before.is_none_or(|c| !c.is_alphanumeric());
        is_start && text.get(at + 1..).is_some_and(|rest| (7..=15).contains(&digits(rest)))
    })
}

/// Whether a text contains an e-mail address.
fn contains_email(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let (local, from) = text.split_at(at);
        let domain = from.get(1..).unwrap_or_default();
        let is_in_name = |c: char| c.is_alphanumeric() || ".-".contains(c);
        let domain = domain.split(|c| !is_in_name(c)).next().unwrap_or_default();
        let top = domain.trim_end_matches('.').rsplit_once('.').map_or("", |(_, top)| top);
        local.chars().next_back().is_some_and(|c| !c.is_whitespace())
            && top.chars().count() >= 2
            && top.chars().all(char::is_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sid::MessageSid;
    use crate::domain::timestamp_serde::to_millisecond;
    use crate::twilio::form;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    fn json(text: &str) -> Fields {
        Fields::from_json(text.as_bytes(), FieldSpelling::Any).expect("an object")
    }

    #[test]
    fn every_spelling_names_the_field_and_nothing_else_does() {
        for name in ["MessagingServiceSid", "messaging_service_sid", "messagingServiceSid"] {
            assert_eq!(json(&format!(r#"{{"{name}":"x"}}"#)).get("MessagingServiceSid"), Some("x"));
        }
        for name in ["messagingservicesid", "MESSAGING_SERVICE_SID", "Messaging_Service_Sid"] {
            assert_eq!(json(&format!(r#"{{"{name}":"x"}}"#)).get("MessagingServiceSid"), None);
        }
    }

    #[test]
    fn the_first_of_repeats_counts_but_sids_must_agree() {
        let fields = json(r#"{"Type":"a","Type":"b","sid":null,"x":{"Type":"c"},"y":[1]}"#);
        assert_eq!(fields.get("Type"), Some("a"));
        assert_eq!(
            fields.sid::<crate::domain::sid::kind::MessageKind>("MessageSid", Some("sid")),
            Ok(None)
        );
        let same = json(&format!(r#"{{"MessageSid":"{SID}","sid":"{SID}"}}"#));
        assert_eq!(
            same.sid("MessageSid", Some("sid")),
            Ok(Some(MessageSid::parse(SID).expect("valid")))
        );
        let other = json(&format!(r#"{{"MessageSid":"{SID}","message_sid":"SM"}}"#));
        assert!(
            other.sid::<crate::domain::sid::kind::MessageKind>("MessageSid", Some("sid")).is_err()
        );
    }

    #[test]
    fn every_field_of_a_form_keeps_its_name_and_value() {
        let form = "a=1&%C3%A9=%F0%9F%91%8D+x&empty=&=nameless&a=2&last=z%C3%A9";
        let fields = Fields::from_pairs(&form::pairs(form.as_bytes()), FieldSpelling::Any);
        let fields = fields.expect("text");
        let all: Vec<_> = fields.pairs().collect();
        let expected = [
            ("a", "1"),
            ("é", "👍 x"),
            ("empty", ""),
            ("", "nameless"),
            ("a", "2"),
            ("last", "zé"),
        ];
        assert_eq!(all, expected);
        let query = Fields::from_pairs(&form::pairs(b"more=3&a=4"), FieldSpelling::Any);
        let both = fields.with_missing_from(&query.expect("text"), &["more", "a"]);
        let values = ["a", "last", "more", "empty"].map(|name| both.get(name));
        assert_eq!(values, [Some("1"), Some("zé"), Some("3"), None]);
    }

    #[test]
    fn a_form_names_one_account_or_none() {
        const ONE: &str = "AC0123456789abcdef0123456789abcdef";
        const OTHER: &str = "AC1123456789abcdef0123456789abcdef";
        let named = |form: &str, spelling| one_account(&form::pairs(form.as_bytes()), spelling);
        let one = AccountSid::parse(ONE).ok();
        assert_eq!(named(&format!("a=b&AccountSid={ONE}"), FieldSpelling::Twilio), one);
        assert_eq!(
            named(&format!("AccountSid=&AccountSid={ONE}&AccountSid={ONE}"), FieldSpelling::Any),
            one
        );
        assert_eq!(named(&format!("account_sid={ONE}"), FieldSpelling::Any), one);
        assert_eq!(named(&format!("account_sid={ONE}"), FieldSpelling::Twilio), None);
        for none in ["", "AccountSid=", "AccountSid=AC1", "AccountSid=%ff", "%ff=1"] {
            assert_eq!(named(none, FieldSpelling::Any), None, "{none}");
        }
        assert_eq!(
            named(&format!("AccountSid={ONE}&AccountSid={OTHER}"), FieldSpelling::Any),
            None
        );
        assert_eq!(
            named(&format!("AccountSid={ONE}&account_sid={OTHER}"), FieldSpelling::Any),
            None
        );
    }

    #[test]
    fn every_time_survives_its_milliseconds() {
        let last = Timestamp::MAX.as_second();
        let beyond = (1..1000).map(|ms| Timestamp::new(last, ms * 1_000_000).expect("a time"));
        for time in beyond.chain([Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH]) {
            let kept = to_millisecond(time);
            let again = Timestamp::from_millisecond(kept.as_millisecond());
            assert_eq!(again.expect("it can be read"), kept);
            assert_eq!(kept.as_second(), time.as_second());
        }
    }

    #[test]
    fn json_that_is_no_object_and_text_that_is_no_utf8_are_malformed() {
        for text in ["", "[]", "1", "{", "{\"a\":}", "{\"a\":1}x"] {
            assert!(matches!(
                Fields::from_json(text.as_bytes(), FieldSpelling::Any),
                Err(Malformed::Json(_))
            ));
        }
        assert!(Fields::from_json(b"{\"a\":\"\xff\"}", FieldSpelling::Any).is_err());
        // In the last ones, a character begins in one text and ends in the next.
        for form in
            ["a=%ff", "%ff=a", "%c3=%a9", "a=%c3&%a9=b", "a=%f0%9f&%91%8d", "a=b&c=%f0%9f%91"]
        {
            let pairs = form::pairs(form.as_bytes());
            let fields = Fields::from_pairs(&pairs, FieldSpelling::Any);
            assert_eq!(fields.map(|_| ()), Err(Malformed::Encoding), "{form}");
        }
    }

    #[test]
    fn a_text_that_contains_a_persons_address_is_personal() {
        for text in [
            "+15551234567",
            "user:+15551234567",
            "login-4711/+447911123456",
            "jane@example.com",
            "mailto:jane.doe@mail.example.co.uk",
            "login <jane@example.org>",
        ] {
            assert!(reject_personal("Reference", text).is_err(), "{text}");
        }
        for text in [
            "login-4711",
            "aGVsbG8+1234567890",
            "a+b",
            "+123",
            "@jane",
            "user@host",
            "v1@2.3",
            "a @ b.com",
            "15551234567",
        ] {
            assert!(reject_personal("Reference", text).is_ok(), "{text}");
        }
    }
}

//! Senders: the app's own numbers, names and channel addresses. They are stored and shown in clear, so a text without
//! the shape of a sender is rejected: it may contain a person's address.

use crate::domain::address::channel_address::{
    Address, AddressError, WHATSAPP, WITHOUT_MESSAGES, is_digits,
};
use crate::domain::address::{countries, phone_number};
use crate::domain::sid::{SID_LEN, ServiceSid, SidError};

/// A name up to this length may hold any number of digits (Twilio: 11 characters). A longer name holds fewer digits
/// than a number.
const ALPHANUMERIC_CHARS: usize = 11;
const MAX_NAME: usize = 64;
/// Placeholders for a missing value.
const NOTHING: [&str; 6] = ["undefined", "null", "none", "nil", "nan", "unknown"];
/// The fewest digits of a number.
const NUMBER_DIGITS: usize = 7;

/// The sender of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A number, short code, name or channel address, normalised.
    Address(Address),
    /// A Messaging Service, by its SID.
    Service(ServiceSid),
}

/// Why a text is no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// No address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A SID, but not a Messaging Service's.
    #[error(transparent)]
    Sid(#[from] SidError),
}

impl Sender {
    /// Parses `From` as an app passes it to Twilio, or as Twilio returns it. A full number without its plus is accepted if
    /// only one number is possible.
    ///
    /// # Errors
    /// [`SenderError`], which says why the text is no sender.
    pub fn parse(text: &str) -> Result<Self, SenderError> {
        let bare = text.trim();
        if is_sid(bare) {
            return Ok(Self::Service(ServiceSid::parse(bare)?));
        }
        let read = Address::parse(text)?;
        let Address { channel, value } = &read;
        if WITHOUT_MESSAGES.contains(&channel.as_str()) {
            return Err(AddressError::NotASender.into());
        }
        if read.is_e164() {
            return Ok(Self::Address(read));
        }
        match channel.as_str() {
            "" | WHATSAPP if is_digits(value) => match with_plus(value) {
                Some(number) => {
                    let value = phone_number::canonical(&number).into_owned();
                    Ok(Self::Address(Address { value, ..read }))
                }
                None if channel.is_empty() && (3..=8).contains(&value.len()) => {
                    Ok(Self::Address(read))
                }
                None => Err(read.without_plus().into()),
            },
            "" if is_name(value) => Ok(Self::Address(read)),
            "" => Err(AddressError::NotASender.into()),
            WHATSAPP => Err(AddressError::NotE164.into()),
            _ => Ok(Self::Address(read)),
        }
    }
}

/// The full number that these digits stand for, if only one is possible. Either they begin with a calling code and
/// are longer than any national number, or they are a number of the North American plan with its 1.
fn with_plus(digits: &str) -> Option<String> {
    let is_long = (12..=15).contains(&digits.len()) && countries::calling_code(digits).is_some();
    let of_ten = digits.strip_prefix('1').filter(|ten| ten.len() == 10);
    let is_north_american = of_ten.is_some_and(|ten| {
        let at =
            |at: usize| ten.as_bytes().get(at).is_some_and(|digit| (b'2'..=b'9').contains(digit));
        at(0) && at(3)
    });
    (is_long || is_north_american).then(|| format!("+{digits}"))
}

fn is_sid(text: &str) -> bool {
    text.len() == SID_LEN
        && text.bytes().take(2).all(|b| b.is_ascii_uppercase())
        && text.bytes().skip(2).all(|b| b.is_ascii_hexdigit())
}

/// An alphanumeric sender: letters, digits, and a few signs between them.
fn is_name(text: &str) -> bool {
    if NOTHING.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.bytes().any(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-_&.".contains(&b))
        && text.len() <= MAX_NAME
        && (text.len() <= ALPHANUMERIC_CHARS || digits < NUMBER_DIGITS)
}

/// Whether a sender is a name, such as a brand's, which no one can reply to.
pub fn is_alphanumeric(sender: &str) -> bool {
    !sender.contains(':') && sender.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";

    fn alphanumeric(text: &str) -> Result<String, String> {
        match Sender::parse(text) {
            Ok(Sender::Address(address)) => Ok(address.to_sender()),
            Ok(Sender::Service(sid)) => Ok(sid.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_sender_is_named_alike_however_it_is_written() {
        for (text, sender) in [
            ("+1 (501) 712-26.61", "+15017122661"),
            ("15017122661", "+15017122661"),
            (" 15017122661", "+15017122661"),
            ("1-501-712-2661", "+15017122661"),
            ("tel:+15017122661", "+15017122661"),
            ("\u{2068}+15017122661\u{2069}", "+15017122661"),
            ("+44 (0)7911 123456", "+447911123456"),
            ("447911123456", "+447911123456"),
            ("whatsapp:+1 501 712 2661", "whatsapp:+15017122661"),
            ("whatsapp:15017122661", "whatsapp:+15017122661"),
            ("rcs:brand_agent", "rcs:brand_agent"),
            ("rcs:brand_0k9d1agent", "rcs:brand_0k9d1agent"),
            ("RCS:Brand.Agent", "rcs:Brand.Agent"),
            ("messenger:1234567890123456", "messenger:1234567890123456"),
            ("12345", "12345"),
            ("123-456", "123456"),
            ("Brand-Name", "Brand-Name"),
            ("My Brand", "My Brand"),
            ("whatsapp:+5215512345678", "whatsapp:+525512345678"),
            ("+551187654321", "+5511987654321"),
            (SERVICE, SERVICE),
        ] {
            assert_eq!(alphanumeric(text).as_deref(), Ok(sender), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_sender_is_refused_and_not_repeated() {
        for (text, says) in [
            ("5017122661", "plus"),
            ("0015017122661", "international prefix"),
            ("PN0123456789abcdef0123456789abcdef", "a phone number's SID"),
            ("AC0123456789abcdef0123456789abcdef", "an account's SID"),
            ("mg0123456789abcdef0123456789abcdef", "short code"),
            ("sip:shop@example.com", "short code"),
            ("Bob +15558675310", "B (U+0042)"),
            ("Bobby Tables 5558675310", "short code"),
            ("shop@example.com", "short code"),
            ("%2B15558675310", "short code"),
            ("whatsapp:US.13491208655302741918", "plus"),
            ("whatsapp:5017122661", "plus"),
            ("undefined", "short code"),
            ("None", "short code"),
            ("undefined\u{7}", "U+0007"),
            ("", "address"),
        ] {
            let error = alphanumeric(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("867") && !error.contains("example"), "{error}");
        }
    }
}

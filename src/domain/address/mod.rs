//! Who is who: the addresses of people and senders, and the keyed hash that stands for a person.
//!
//! A person's address is never stored, logged or shown: [`Address`] has no `Display`, its `Debug`
//! is redacted, and what goes on is a [`Recipient`]: a keyed hash and the calling code.

mod person;

pub use person::{Person, PersonKey, Recipient};

use std::fmt;

use crate::domain::numbering;

/// The longest address that is read, in bytes. Twilio's are far shorter.
const MAX_LEN: usize = 256;
/// The channel that is an account of its own under a number.
const WHATSAPP: &str = "whatsapp";

/// An address on a channel, normalised: `+15551234567`, `whatsapp:+15551234567`, `12345`,
/// `rcs:brand_agent`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Lower-case channel prefix without its colon; empty for SMS, MMS and calls.
    channel: String,
    value: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there, control characters, or longer than any address.
    #[error("expected an address such as +15551234567 or whatsapp:+15551234567")]
    Malformed,
    /// Digits without the plus that tells the country.
    #[error("expected E.164 with its plus sign, such as +15551234567 or whatsapp:+15551234567")]
    NotE164,
}

impl Address {
    /// Reads whatever Twilio may put into `From` or `To`: numbers, short codes, alphanumeric
    /// senders, channel addresses. Spaces, dashes, dots and brackets in a number do not count; nor does
    /// the digit that some countries' mobiles may have or not ([`numbering`]). `00` is no plus: it
    /// calls another country from some countries only.
    ///
    /// `rcs:` and `sms:` in front of a full number are the plain number: it is the same thread on the
    /// same phone. WhatsApp is an account of its own. `rcs:` in front of a name is a brand's agent.
    ///
    /// # Errors
    /// [`AddressError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_LEN || text.chars().any(char::is_control) {
            return Err(AddressError::Malformed);
        }
        let (channel, value) = match text.split_once(':') {
            Some((channel, value)) if is_channel(channel) => {
                (channel.to_ascii_lowercase(), value.trim())
            }
            _ => (String::new(), text),
        };
        if value.is_empty() {
            return Err(AddressError::Malformed);
        }
        let mut address = Self { channel, value: normalise(value) };
        if address.is_e164() {
            address.value = numbering::canonical(&address.value).into_owned();
            if matches!(address.channel.as_str(), "sms" | "rcs") {
                address.channel.clear();
            }
        }
        Ok(address)
    }

    /// Reads the address of a person whom the app names: a full number, or a channel's address.
    ///
    /// # Errors
    /// [`AddressError`]; a number without its plus is refused, since it would silently match nobody.
    pub fn parse_recipient(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text)?;
        // Other channels have ids of their own making, often of digits.
        let by_number = matches!(address.channel.as_str(), "" | "sms" | WHATSAPP | "rcs");
        if address.is_e164() || !by_number {
            return Ok(address);
        }
        Err(AddressError::NotE164)
    }

    /// The address in Twilio's notation. For senders only: a person's address goes nowhere.
    #[must_use]
    pub fn to_sender(&self) -> String {
        if self.channel.is_empty() {
            self.value.clone()
        } else {
            format!("{}:{}", self.channel, self.value)
        }
    }

    /// The number to call, without the channel on which it was named. `None` for what is no full number.
    #[must_use]
    pub fn to_number(&self) -> Option<Self> {
        let is_number = matches!(self.channel.as_str(), "" | WHATSAPP) && self.is_e164();
        is_number.then(|| Self { channel: String::new(), value: self.value.clone() })
    }

    /// Whether it is on WhatsApp.
    #[must_use]
    pub fn is_whatsapp(&self) -> bool {
        self.channel == WHATSAPP
    }

    /// The country calling code (ITU E.164), for statistics. `None` for what is no full number.
    #[must_use]
    pub fn calling_code(&self) -> Option<u16> {
        if !self.is_e164() {
            return None;
        }
        let digits = self.value.strip_prefix('+')?;
        let length = match digits.as_bytes() {
            [b'1' | b'7', ..] => 1,
            // ITU-T E.164's list of assigned codes: the two-digit ones; all the others have three.
            [b'2', b'0' | b'7', ..]
            | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
            | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
            | [b'5', b'1'..=b'8', ..]
            | [b'6', b'0'..=b'6', ..]
            | [b'8', b'1' | b'2' | b'4' | b'6', ..]
            | [b'9', b'0'..=b'5' | b'8', ..] => 2,
            _ => 3,
        };
        digits.get(..length)?.parse().ok()
    }

    fn is_e164(&self) -> bool {
        self.value.strip_prefix('+').is_some_and(|digits| {
            is_digits(digits) && (7..=15).contains(&digits.len()) && !digits.starts_with('0')
        })
    }
}

/// Whether a sender is a name, such as a brand's, and no number: nobody can answer it.
#[must_use]
pub fn is_alphanumeric(sender: &str) -> bool {
    !sender.contains(':') && sender.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_channel(prefix: &str) -> bool {
    !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A number loses its decoration; anything else (an alphanumeric sender, a client's name) stays.
fn normalise(value: &str) -> String {
    // The last few are spaces and hyphens that do not break, and marks of direction: what comes along
    // when a number is copied.
    let counts = |c: &char| {
        let decoration =
            " -.()\u{a0}\u{202f}\u{2009}\u{2010}\u{2011}\u{2013}\u{200e}\u{202a}\u{202c}";
        !decoration.contains(*c)
    };
    let bare: String = value.chars().filter(counts).collect();
    if is_digits(bare.strip_prefix('+').unwrap_or(&bare)) { bare } else { value.to_owned() }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sid::AccountSid;

    fn recipient(address: &str) -> Recipient {
        let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
        PersonKey::new(b"key").recipient(account, &Address::parse(address).expect("valid"))
    }

    #[test]
    fn decoration_does_not_make_another_person_but_a_channel_does() {
        let plain = recipient("+15551234567");
        assert_eq!(plain, recipient(" +1 (555) 123-45.67 "));
        assert_ne!(plain.person, recipient("whatsapp:+15551234567").person);
        assert_eq!(recipient("WhatsApp:+15551234567"), recipient("whatsapp:+1 555 123 4567"));
    }

    #[test]
    fn one_person_is_known_by_every_notation_of_their_number() {
        for (one, other, same) in [
            ("+5215512345678", "+52 55 1234-5678", true),
            ("whatsapp:+5215512345678", "whatsapp:+525512345678", true),
            ("whatsapp:+5215512345678", "+525512345678", false),
            ("+54 9 11 2345-6789", "+541123456789", true),
            ("whatsapp:+551187654321", "whatsapp:+5511987654321", true),
            ("+551123456789", "+5511923456789", false),
            ("rcs:+15551234567", "+15551234567", true),
            ("SMS:+1 555 123 4567", "+15551234567", true),
            ("rcs:+5215512345678", "+525512345678", true),
            ("messenger:15551234567", "+15551234567", false),
            ("0015551234567", "+15551234567", false),
            ("\u{202a}+1\u{a0}(555)\u{a0}123\u{2011}4567\u{202c}", "+15551234567", true),
        ] {
            assert_eq!(recipient(one).person == recipient(other).person, same, "{one} {other}");
        }
    }

    #[test]
    fn a_sender_is_named_alike_however_it_is_written() {
        for (text, sender) in [
            ("+1 (501) 712-26.61", "+15017122661"),
            ("whatsapp:+1 501 712 2661", "whatsapp:+15017122661"),
            ("rcs:brand_agent", "rcs:brand_agent"),
            ("rcs:brand_0k9d1agent", "rcs:brand_0k9d1agent"),
            ("RCS:Brand.Agent", "rcs:Brand.Agent"),
            ("12345", "12345"),
            ("123-456", "123456"),
            ("Brand-Name", "Brand-Name"),
            ("whatsapp:+5215512345678", "whatsapp:+525512345678"),
            ("+551187654321", "+5511987654321"),
        ] {
            assert_eq!(Address::parse(text).expect("valid").to_sender(), sender, "{text}");
        }
    }

    #[test]
    fn without_the_key_nobody_can_be_guessed() {
        let address = Address::parse("+15550000001").expect("valid");
        let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
        let person = |key: &[u8]| PersonKey::new(key).recipient(account, &address).person;
        assert_eq!(person(b"one"), person(b"one"));
        assert_ne!(person(b"one"), person(b"another"));
        assert_ne!(PersonKey::new(b"one").check(), PersonKey::new(b"another").check());
    }

    #[test]
    fn a_caller_is_two_persons_and_an_agent_is_none() {
        let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
        let caller = |text: &str| {
            PersonKey::new(b"key").caller(account, &Address::parse(text).expect("valid"))
        };
        let both = (recipient("+15551234567"), recipient("whatsapp:+15551234567").person);
        assert_eq!(caller("+1 555 123 4567"), Some(both));
        assert_eq!(caller("whatsapp:+15551234567"), Some(both));
        for text in ["client:tommy", "sip:a@b.example", "12345", "rcs:agent", "messenger:1234567"] {
            assert_eq!(caller(text), None, "{text}");
        }
    }

    #[test]
    fn calling_codes_are_those_of_e164() {
        for (number, code) in [
            ("+15551234567", Some(1)),
            ("+79161234567", Some(7)),
            ("+4915112345678", Some(49)),
            ("+420601123456", Some(420)),
            ("+35312345678", Some(353)),
            ("+85212345678", Some(852)),
            ("+989121234567", Some(98)),
            ("whatsapp:+5215512345678", Some(52)),
            ("12345", None),
            ("HEARDBACK", None),
        ] {
            assert_eq!(Address::parse(number).expect("valid").calling_code(), code, "{number}");
        }
    }

    #[test]
    fn a_recipient_without_a_country_is_refused() {
        for text in ["15551234567", "5551234567", "12345", "", "BRAND", "+0123456789"] {
            assert!(Address::parse_recipient(text).is_err(), "{text}");
        }
        assert!(Address::parse_recipient("+1 555 123 4567").is_ok());
        assert!(Address::parse_recipient("messenger:1234567890123456").is_ok());
        assert!(Address::parse_recipient("whatsapp:15551234567").is_err());
    }

    #[test]
    fn nothing_prints_an_address() {
        let address = Address::parse("+15551234567").expect("valid");
        assert!(!format!("{address:?} {:?}", recipient("+15551234567")).contains("555"));
    }
}

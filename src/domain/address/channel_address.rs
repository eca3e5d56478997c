//! An address on a channel: a number, short code, sender name or user id of WhatsApp, normalised.
//!
//! [`Address`] has no `Display`, and its `Debug` is redacted. An error names the unreadable character and repeats no
//! other part of the text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::address::{countries, notation, phone_number};

/// The longest accepted address, in bytes. Twilio's are far shorter.
const MAX_LEN: usize = 256;
/// The channel on which a number is another recipient.
pub(super) const WHATSAPP: &str = "whatsapp";
/// Schemes in front of a plain number (RFC 3966, RFC 5724, and those of phones and browsers).
const PLAIN: [&str; 6] = ["tel", "sms", "smsto", "mms", "mmsto", "callto"];
/// Schemes of addresses that no message can be sent to.
pub(super) const WITHOUT_MESSAGES: [&str; 9] =
    ["client", "sip", "sips", "sim", "wireless", "http", "https", "mailto", "urn"];
/// Characters that may stand between the digits of a number, after folding.
const DECORATION: &str = " -.()[]/~";
/// The longest user id of WhatsApp behind its country and dot (Meta, "Business-scoped user IDs").
const MAX_USER_ID: usize = 128;

/// An address on a channel, normalised: `+15551234567`, `whatsapp:+15551234567`, `12345`,
/// `whatsapp:US.13491208655302741918`, `rcs:brand_agent`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Lower-case channel prefix without its colon; empty for SMS, MMS and calls.
    pub(super) channel: String,
    pub(super) value: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Empty, or longer than any address.
    #[error("expected an address such as +15551234567 or whatsapp:+15551234567")]
    Malformed,
    /// Digits without a plus, so without a country.
    #[error("expected E.164 with its plus sign, such as +15551234567 or whatsapp:+15551234567")]
    NotE164,
    /// An international prefix instead of the plus.
    #[error(
        "00 or 011 in front is an international prefix that depends on the caller's country; \
         write + instead, such as +15551234567"
    )]
    DialPrefix,
    /// A character that no number has.
    #[error("the character {} is not part of a number; expected one such as +15551234567", shown(*.0))]
    InTheWay(char),
    /// `(0)` in a country whose numbers may begin with 0.
    #[error(
        "(0) is ambiguous, since numbers of that country may begin with 0; \
         write the number as it is dialled from abroad"
    )]
    TrunkZero,
    /// A scheme of addresses that receive no messages.
    #[error("no message can be sent to a {0}: address; expected one such as +15551234567")]
    WithoutMessages(&'static str),
    /// A scheme in front of a full number that is no channel of Twilio's.
    #[error("the channel in front of the number is unknown; expected whatsapp:, rcs: or sms:")]
    UnknownChannel,
    /// Not a sender of Twilio.
    #[error(
        "expected a number such as +15017122661, a short code, an alphanumeric sender, a channel's \
         address, or a Messaging Service's SID (MG…)"
    )]
    NotASender,
}

/// A character with its code point; the code point alone if the character is not printable ASCII.
fn shown(c: char) -> String {
    let point = u32::from(c);
    if c.is_ascii_graphic() { format!("{c} (U+{point:04X})") } else { format!("U+{point:04X}") }
}

impl Address {
    /// Parses any address that Twilio may put into `From` or `To`: numbers, short codes, alphanumeric senders, channel
    /// addresses, user ids of WhatsApp. Digits of every script count; spaces, dashes, dots, brackets and invisible marks in
    /// a number do not. A number in an old notation gets today's (`phone_number`).
    ///
    /// `tel:`, `sms:` or `rcs:` before a full number is the plain number: it is the same thread on the same phone. WhatsApp
    /// is another recipient. `rcs:` before a name is a brand's agent.
    ///
    /// # Errors
    /// [`AddressError`], which names the unreadable character.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_LEN {
            return Err(AddressError::Malformed);
        }
        let text = notation::folded(text).map_err(AddressError::InTheWay)?;
        let (channel, value) = match text.split_once(':') {
            Some((channel, value)) if is_channel(channel.trim_end()) => {
                (channel.trim_end().to_ascii_lowercase(), value.trim())
            }
            _ => (String::new(), text.as_str()),
        };
        let (channel, value) = if PLAIN.contains(&channel.as_str()) {
            (String::new(), value.trim_start_matches('/'))
        } else {
            (channel, value)
        };
        if value.is_empty() {
            return Err(AddressError::Malformed);
        }
        let is_by_number = matches!(channel.as_str(), "" | "rcs" | WHATSAPP);
        let value = match number(value) {
            Ok(Some(number)) => number,
            Err(wrong) if is_by_number => return Err(wrong),
            Ok(None) | Err(_) => value.to_owned(),
        };
        let mut address = Self { channel, value };
        if address.is_e164() {
            address.value = phone_number::canonical(&address.value).into_owned();
            if address.channel == "rcs" {
                address.channel.clear();
            }
        } else if address.is_whatsapp()
            && let Some(id) = user_id(&address.value)
        {
            address.value = id;
        }
        Ok(address)
    }

    /// Parses the address of a recipient from the app: a full number, or a channel's address.
    ///
    /// # Errors
    /// [`AddressError`]; a number without its plus is rejected, because it would match no person.
    pub fn parse_recipient(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text)?;
        if let Some(scheme) = WITHOUT_MESSAGES.into_iter().find(|known| *known == address.channel) {
            return Err(AddressError::WithoutMessages(scheme));
        }
        // Other channels have their own ids, often of digits.
        let is_by_number = matches!(address.channel.as_str(), "" | WHATSAPP | "rcs");
        if address.is_e164() && !is_by_number {
            return Err(AddressError::UnknownChannel);
        }
        if address.is_e164() || !is_by_number || address.is_whatsapp_id() {
            return Ok(address);
        }
        match user_id(&address.value) {
            Some(value) if address.channel.is_empty() => {
                Ok(Self { channel: WHATSAPP.to_owned(), value })
            }
            Some(_) | None => Err(address.without_plus()),
        }
    }

    /// Parses a field that contains only a user id of WhatsApp, with its channel or without.
    pub fn parse_user_id(text: &str) -> Option<Self> {
        let text = notation::folded(text).ok()?;
        let id = match text.split_once(':') {
            Some((channel, id)) if channel.eq_ignore_ascii_case(WHATSAPP) => id.trim(),
            Some(_) => return None,
            None => text.as_str(),
        };
        Some(Self { channel: WHATSAPP.to_owned(), value: user_id(id)? })
    }

    /// Whether a text is exactly a person's address: a full number with its plus, or an address on WhatsApp. Such a text
    /// must not be stored in clear.
    pub fn is_personal(text: &str) -> bool {
        let has_channel = || notation::folded(text).is_ok_and(|text| text.contains(':'));
        Self::parse_recipient(text)
            .is_ok_and(|address| address.is_e164() || (address.is_whatsapp() && has_channel()))
    }

    /// The error for an address that is no full number.
    pub(super) fn without_plus(&self) -> AddressError {
        if is_digits(&self.value) && (self.value.starts_with("00") || self.value.starts_with("011"))
        {
            return AddressError::DialPrefix;
        }
        AddressError::NotE164
    }

    /// The address in Twilio's notation. For senders only, because a person's address is never shown.
    pub fn to_sender(&self) -> String {
        if self.channel.is_empty() {
            self.value.clone()
        } else {
            format!("{}:{}", self.channel, self.value)
        }
    }

    /// The number to call, without its channel. `None` if it is no full number.
    pub fn to_number(&self) -> Option<Self> {
        let is_number = matches!(self.channel.as_str(), "" | WHATSAPP) && self.is_e164();
        is_number.then(|| Self { channel: String::new(), value: self.value.clone() })
    }

    pub fn is_whatsapp(&self) -> bool {
        self.channel == WHATSAPP
    }

    /// Whether it is a user id of WhatsApp, of a person whose number may be unknown.
    pub fn is_whatsapp_id(&self) -> bool {
        self.is_whatsapp() && !self.is_e164() && user_id(&self.value).is_some()
    }

    pub fn kind(&self) -> NameKind {
        if self.is_whatsapp_id() {
            NameKind::WhatsappId
        } else if self.is_whatsapp() && self.is_e164() {
            NameKind::WhatsappNumber
        } else {
            NameKind::Other
        }
    }

    /// The country calling code (ITU E.164), for statistics. A user id has the code of its country. `None` for any
    /// other address.
    pub fn calling_code(&self) -> Option<u16> {
        if self.is_whatsapp_id() {
            return countries::of_country(self.value.get(..2)?);
        }
        let digits = self.value.strip_prefix('+').filter(|_| self.is_e164())?;
        // An unassigned code counts as its first three digits.
        countries::calling_code(digits).or(digits.get(..3))?.parse().ok()
    }

    pub(super) fn is_e164(&self) -> bool {
        self.value.strip_prefix('+').is_some_and(|digits| {
            is_digits(digits) && (7..=15).contains(&digits.len()) && !digits.starts_with('0')
        })
    }
}

fn is_channel(prefix: &str) -> bool {
    !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A user id of WhatsApp: a country (ISO 3166), a dot and up to 128 letters and digits, such as
/// `US.13491208655302741918`. A parent's has `ENT.` between.
fn user_id(text: &str) -> Option<String> {
    let (country, id) = text.split_once('.')?;
    let bare = id.strip_prefix("ENT.").unwrap_or(id);
    let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic());
    let is_id =
        (1..=MAX_USER_ID).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_country && is_id).then(|| format!("{}.{id}", country.to_ascii_uppercase()))
}

/// A number without its decoration; `None` for anything else, such as an alphanumeric sender.
fn number(value: &str) -> Result<Option<String>, AddressError> {
    if value.strip_prefix('+').is_some_and(is_digits) {
        return Ok(Some(value.to_owned()));
    }
    let is_decoration = |c: char| DECORATION.contains(c);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let is_meant = value.split('+').skip(1).any(|after| {
        after.trim_start_matches(is_decoration).starts_with(|c: char| c.is_ascii_digit())
    });
    let odd = value.chars().find(|c| !c.is_ascii_digit() && *c != '+' && !is_decoration(*c));
    match odd {
        Some(odd) if is_meant && digits >= 7 => return Err(AddressError::InTheWay(odd)),
        None if digits > 0 => {}
        Some(_) | None => return Ok(None),
    }
    let bare = |text: &str| text.chars().filter(|c| !is_decoration(*c)).collect::<String>();
    let Some((before, after)) = value.split_once('+') else { return Ok(Some(bare(value))) };
    if !bare(before).is_empty() || after.contains('+') {
        return Err(AddressError::InTheWay('+'));
    }
    let Some((code, rest)) = split_at_trunk_zero(after) else {
        return Ok(Some(format!("+{}", bare(after))));
    };
    let code = bare(code);
    if countries::calling_code(&code) != Some(&code) {
        return Err(AddressError::InTheWay('('));
    }
    if countries::keeps_zero(&code) {
        return Err(AddressError::TrunkZero);
    }
    Ok(Some(format!("+{code}{}", bare(rest))))
}

/// The texts before and after a 0 in brackets.
fn split_at_trunk_zero(text: &str) -> Option<(&str, &str)> {
    [('(', ')'), ('[', ']')].into_iter().find_map(|(open, close)| {
        let (before, from) = text.split_once(open)?;
        let (inside, behind) = from.split_once(close)?;
        (inside.trim() == "0").then_some((before, behind))
    })
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

/// The kind of a name that stands for a person.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// A plain number, or another channel's address: the only name of its person.
    #[default]
    Other,
    /// A number on WhatsApp.
    WhatsappNumber,
    /// A user id of WhatsApp.
    WhatsappId,
}

impl NameKind {
    /// The other kind of name that the same person may have.
    pub fn counterpart(self) -> Option<Self> {
        match self {
            Self::Other => None,
            Self::WhatsappNumber => Some(Self::WhatsappId),
            Self::WhatsappId => Some(Self::WhatsappNumber),
        }
    }
}

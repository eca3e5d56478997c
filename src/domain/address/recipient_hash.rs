//! The keyed hash that stands for a person: what is kept instead of an address.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::address::channel_address::{Address, NameKind, WHATSAPP};
use crate::domain::mac::MacKey;
use crate::domain::sid::AccountSid;

/// A person, as far as the store knows one: 16 bytes of a keyed hash over account, channel and address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecipientHash(#[serde(with = "crate::domain::hex")] [u8; 16]);

impl RecipientHash {
    /// A person, from the bytes of a key in a store.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a key in a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RecipientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(…)")
    }
}

/// Whom a message went to, without saying who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recipient {
    pub person: RecipientHash,
    /// The country calling code of the address, if it has one.
    pub calling_code: Option<u16>,
    /// What kind of name it is.
    pub kind: NameKind,
}

/// The key of the hash. An unkeyed hash of a phone number can be reversed by trying all numbers.
#[derive(Clone)]
pub struct RecipientHashKey(MacKey);

impl RecipientHashKey {
    /// A key from secret bytes of any length; 32 random ones are best.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(MacKey::new(secret))
    }

    /// Sixteen bytes that tell whether it is still the same key, and nothing else about it.
    #[must_use]
    pub fn check(&self) -> [u8; 16] {
        self.hash(&["check"])
    }

    /// The person at this address, as that account knows them.
    #[must_use]
    pub fn recipient(&self, account: AccountSid, address: &Address) -> Recipient {
        let person =
            RecipientHash(self.hash(&[account.as_str(), &address.channel, &address.value]));
        Recipient { person, calling_code: address.calling_code(), kind: address.kind() }
    }

    /// Whoever calls from this number, as the person that plain messages and as the one that WhatsApp
    /// messages go to. `None` for what is no number.
    #[must_use]
    pub fn caller(
        &self,
        account: AccountSid,
        address: &Address,
    ) -> Option<(Recipient, RecipientHash)> {
        let number = address.to_number()?;
        let whatsapp = Address { channel: WHATSAPP.to_owned(), value: number.value.clone() };
        Some((self.recipient(account, &number), self.recipient(account, &whatsapp).person))
    }

    /// The person at this address by number alone, where that is another one: whom a call names.
    #[must_use]
    pub fn by_number(&self, account: AccountSid, address: &Address) -> Option<RecipientHash> {
        let (by_number, _) = self.caller(account, address)?;
        let person = self.recipient(account, address).person;
        (by_number.person != person).then_some(by_number.person)
    }

    fn hash(&self, parts: &[&str]) -> [u8; 16] {
        let tag = self.0.tag(parts.iter().flat_map(|part| [part.as_bytes(), b"\0"]));
        tag.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for RecipientHashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(…)")
    }
}

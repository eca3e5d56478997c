//! The keyed hash of a person, which is stored instead of an address.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::address::channel_address::{Address, NameKind, WHATSAPP};
use crate::domain::mac::MacKey;
use crate::domain::sid::AccountSid;

/// The stored identity of a person: 16 bytes of a keyed hash over account, channel and address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecipientHash(#[serde(with = "crate::domain::hex")] [u8; 16]);

impl RecipientHash {
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RecipientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientHash(…)")
    }
}

/// The recipient of a message, without the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recipient {
    pub person: RecipientHash,
    /// The country calling code of the address, if it has one.
    pub calling_code: Option<u16>,
    pub kind: NameKind,
}

/// The key of the hash. A hash without a key could be reversed by trying all numbers.
#[derive(Clone)]
pub struct RecipientHashKey(MacKey);

impl RecipientHashKey {
    /// The secret may have any length; 32 random bytes are best.
    pub fn new(secret: &[u8]) -> Self {
        Self(MacKey::new(secret))
    }

    /// Identifies the key without revealing it, so that a store can detect that it is opened with another one.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.hash(&["check"])
    }

    /// The person at this address, in one account.
    pub fn recipient(&self, account: AccountSid, address: &Address) -> Recipient {
        let person =
            RecipientHash(self.hash(&[account.as_str(), &address.channel, &address.value]));
        Recipient { person, calling_code: address.calling_code(), kind: address.kind() }
    }

    /// The hashes under which a caller may be stored: of the number itself, and of its WhatsApp address. `None` if the
    /// address has no number.
    pub fn caller(
        &self,
        account: AccountSid,
        address: &Address,
    ) -> Option<(Recipient, RecipientHash)> {
        let number = address.to_number()?;
        let whatsapp = Address { channel: WHATSAPP.to_owned(), value: number.value.clone() };
        Some((self.recipient(account, &number), self.recipient(account, &whatsapp).person))
    }

    /// The hash of the plain number. `None` if the address has no number, or is one already.
    pub fn by_number(&self, account: AccountSid, address: &Address) -> Option<RecipientHash> {
        let number = address.to_number().filter(|number| number != address)?;
        Some(self.recipient(account, &number).person)
    }

    /// A MAC of a stored record. Without the key it reveals only whether two records are equal.
    pub fn record_tag(&self, record: &[u8]) -> [u8; 16] {
        let tag = self.0.tag([b"record\0".as_slice(), record]);
        tag.first_chunk().copied().unwrap_or_default()
    }

    fn hash(&self, parts: &[&str]) -> [u8; 16] {
        let tag = self.0.tag(parts.iter().flat_map(|part| [part.as_bytes(), b"\0"]));
        tag.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for RecipientHashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientHashKey(…)")
    }
}

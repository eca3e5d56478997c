//! `SharedKeys`: an id, an algorithm and a secret that belong together.
//!
//! Errors show none of the three values, because users confuse their order.

use secrecy::{ExposeSecret, SecretString};

use crate::twilio::signature::{Algorithm, KeyId, SigningKey};

/// The start of Twilio's ids in all known examples.
pub(super) const USUAL_ID: &str = "webhooks_sharedkey_";

/// A key that Twilio signs webhooks with instead of the auth token (Webhooks API, `SharedKeys`).
#[derive(Debug, Clone)]
pub struct SharedKey {
    /// Not secret.
    pub id: KeyId,
    /// The only algorithm that may verify with this key.
    pub algorithm: Algorithm,
    /// The secret as given; it is not decoded.
    pub secret: SecretString,
}

impl SharedKey {
    pub(super) fn read(
        id: &str,
        algorithm: &str,
        secret: &SecretString,
    ) -> Result<Self, &'static str> {
        let id = KeyId::parse(id).ok_or("its id must be 1 to 128 letters, digits, _, - and .")?;
        let algorithm =
            Algorithm::parse(algorithm).ok_or("its algorithm must be HMAC_SHA1 or HMAC_SHA256")?;
        if secret.expose_secret().is_empty() {
            return Err("its secret is empty");
        }
        Ok(Self { id, algorithm, secret: secret.clone() })
    }

    pub fn signing_key(&self) -> SigningKey {
        SigningKey::shared(self.id.clone(), self.algorithm, self.secret.expose_secret().as_bytes())
    }

    /// Whether its id differs from Twilio's: the parts may be in the wrong order.
    pub(super) fn is_unusual(&self) -> bool {
        !self.id.as_str().starts_with(USUAL_ID)
    }
}

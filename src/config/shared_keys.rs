//! `SharedKeys`: id, algorithm and secret belong together, and a header may not part them.
//!
//! Whatever is wrong with one is said without a word of it: people put the three in another order.

use secrecy::{ExposeSecret, SecretString};

use crate::config::reader::SettingsReader;
use crate::twilio::signature::{Algorithm, KeyId, SigningKey};

/// What Twilio's ids begin with, as far as is known.
const USUAL_ID: &str = "webhooks_sharedkey_";

/// A key that Twilio signs webhooks with instead of the auth token (Webhooks API, `SharedKeys`).
#[derive(Debug, Clone)]
pub struct SharedKey {
    /// Its id; not secret.
    pub id: KeyId,
    /// The only algorithm that it is ever used with.
    pub algorithm: Algorithm,
    /// Taken verbatim, whatever it looks like.
    pub secret: SecretString,
}

impl SharedKey {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, without its values.
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

    /// To verify with.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::shared(self.id.clone(), self.algorithm, self.secret.expose_secret().as_bytes())
    }

    /// Whether its id looks like none of Twilio's: another part may stand in its place.
    pub(super) fn is_unusual(&self) -> bool {
        !self.id.as_str().starts_with(USUAL_ID)
    }
}

/// `TWILIO_SHARED_KEYS`: `id:algorithm:secret,…`.
pub(super) fn read(reader: &mut SettingsReader<'_>, entries: &[SecretString]) -> Vec<SharedKey> {
    let mut keys: Vec<SharedKey> = Vec::with_capacity(entries.len());
    for (number, entry) in (1..).zip(entries) {
        let mut parts = entry.expose_secret().splitn(3, ':');
        let key = match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(algorithm), Some(secret)) => {
                SharedKey::read(id.trim(), algorithm.trim(), &SecretString::from(secret))
            }
            _ => Err("expected id:algorithm:secret"),
        };
        match key {
            Ok(key) if keys.iter().any(|known| known.id == key.id) => {
                let what = format!("key {number} has the id of another one");
                reader.withhold(what);
            }
            Ok(key) => {
                if key.is_unusual() {
                    reader.warn(format!(
                        "TWILIO_SHARED_KEYS: the id of key {number} does not begin with {USUAL_ID}, as Twilio's \
                         do; is it id:algorithm:secret?"
                    ));
                }
                keys.push(key);
            }
            Err(what) => reader.withhold(format!("key {number}: {what}")),
        }
    }
    keys
}

//! Addresses of people and senders, each parsed once at the edge, and the keyed hash that stands for a person.
//!
//! A person's address is never stored, logged or shown. The store gets a [`Recipient`]: a keyed hash, the calling code
//! and the kind of the address.

mod channel_address;
mod countries;
mod names;
mod notation;
mod phone_number;
mod recipient_hash;
mod sender;

pub use channel_address::{Address, AddressError, NameKind};
pub use names::{LearnedAliases, RecipientAliases, RecipientNames};
pub use recipient_hash::{Recipient, RecipientHash, RecipientHashKey};
pub use sender::{Sender, SenderError, is_alphanumeric};

#[cfg(test)]
mod tests;

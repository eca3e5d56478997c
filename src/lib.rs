//! Heardback tells Twilio which messages truly arrived.

pub mod domain;
pub mod recording;
pub mod tools;

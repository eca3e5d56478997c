//! Webhooks that are passed on to the app's own URL while their evidence is written.
//!
//! [`webhook::Webhook`] holds a verified webhook and its hand-off. `respond.rs` asks the app and writes the evidence at the
//! same time, and turns the app's answer into Twilio's. A request whose signature is invalid never gets here.

pub(super) mod log;
pub(super) mod respond;
pub(super) mod webhook;

//! Heardback tells Twilio which messages truly arrived.

pub mod cli;
pub mod config;
pub mod domain;
pub mod telemetry;
pub mod tools;

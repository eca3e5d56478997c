//! Heardback tells Twilio which messages truly arrived.
//!
//! `ARCHITECTURE.md` is the map; the import law between these modules is kept by `tests/it/tidy.rs`.

pub mod admin;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod forward;
pub mod inbound;
pub mod recording;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod twilio;
pub mod upstream;
pub mod worker;

//! The rules: which message a signal proves, and what to do next.
//!
//! Pure (`tests/it/tidy.rs` and `clippy.toml` check it): no I/O, no async, no clock, no randomness, no environment.
//! `now` and `jitter` are arguments.

pub mod account_block;
pub mod address;
pub mod basic_auth;
pub mod click_link;
pub mod click_secret;
pub mod clock;
pub mod code;
pub mod digit;
pub mod erasure;
pub mod evidence;
pub mod feedback;
pub mod findings;
pub mod forward;
pub mod hex;
pub mod mac;
pub mod matching;
pub mod message;
pub mod outgoing;
pub mod rate_limit;
pub mod redact;
pub mod reference;
pub mod retry;
pub mod root_cause;
pub mod route;
pub mod sid;
pub mod signal;
pub mod size;
pub mod span;
pub mod stats;
pub mod switch;
pub mod timeline;
pub mod timestamp_serde;
pub mod trace;

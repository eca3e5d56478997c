//! Decide: what a signature proves, what a signal proves, what to do next.
//!
//! Pure by law (`tests/it/tidy.rs` and `clippy.toml` keep it): no I/O, no async, no clock, no
//! randomness, no environment. `now` and `jitter` are arguments.

pub mod origin;
pub mod public_url;
pub mod sid;
pub mod upstream_url;

//! What each fuzz target claims: a function a target, which panics where the claim does not hold.
//!
//! `targets/` hands them to libFuzzer, `tests/it/fuzzed.rs` replays the corpora with them. The body of
//! `record` is not here but in `src/store/sled/fuzzed.rs`: what it is about is private to the store.

#![forbid(unsafe_code)]

pub mod form;
pub mod recording;
pub mod signals;
pub mod signature;

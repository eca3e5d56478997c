//! The claims of the fuzz targets: one function each, which panics if its claim is false.
//!
//! `targets/` passes them to libFuzzer, and `tests/it/fuzzed.rs` replays the corpora. The claim of `record` is in
//! `src/store/sled/fuzzed.rs`, because records are private to the store.

#![forbid(unsafe_code)]

pub mod form;
pub mod recording;
pub mod signals;
pub mod signature;

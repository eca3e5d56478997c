//! `record`, for libFuzzer. What it claims stands in `../src/store/sled/fuzzed.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heardback::store::sled::fuzzed::holds(data));

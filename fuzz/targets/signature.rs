//! `signature`, for libFuzzer. What it claims stands in `src/signature.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heardback_fuzz::signature::holds(data));

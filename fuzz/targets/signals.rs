//! `signals`, for libFuzzer. What it claims stands in `src/signals.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heardback_fuzz::signals::holds(data));

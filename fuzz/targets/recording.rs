//! `recording`, for libFuzzer. What it claims stands in `src/recording.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heardback_fuzz::recording::holds(data));

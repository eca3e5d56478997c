//! `form`, for libFuzzer. What it claims stands in `src/form.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heardback_fuzz::form::holds(data));

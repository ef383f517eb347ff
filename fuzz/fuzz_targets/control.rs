//! libFuzzer's door to [`agnes_fuzz::control`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::control::check(bytes));

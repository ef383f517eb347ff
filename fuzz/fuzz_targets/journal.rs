//! libFuzzer's door to [`agnes_fuzz::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::journal::check(bytes));

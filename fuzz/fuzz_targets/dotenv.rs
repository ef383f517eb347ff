//! libFuzzer's door to [`agnes_fuzz::dotenv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::dotenv::check(bytes));

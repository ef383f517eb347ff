//! libFuzzer's door to [`agnes_fuzz::multipart`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::multipart::check(bytes));

//! libFuzzer's door to [`agnes_fuzz::source_url`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::source_url::check(bytes));

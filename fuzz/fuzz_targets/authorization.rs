//! libFuzzer's door to [`agnes_fuzz::authorization`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::authorization::check(bytes));

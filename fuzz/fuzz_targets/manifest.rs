//! libFuzzer's door to [`agnes_fuzz::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::manifest::check(bytes));

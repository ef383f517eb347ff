//! libFuzzer's door to [`agnes_fuzz::agnes_toml`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::agnes_toml::check(bytes));

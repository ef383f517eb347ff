//! libFuzzer's door to [`agnes_fuzz::pem_chain`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::pem_chain::check(bytes));

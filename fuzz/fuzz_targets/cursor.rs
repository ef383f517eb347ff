//! libFuzzer's door to [`agnes_fuzz::cursor`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::cursor::check(bytes));

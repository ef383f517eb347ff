//! libFuzzer's door to [`agnes_fuzz::cron`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agnes_fuzz::cron::check(bytes));

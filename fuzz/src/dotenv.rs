//! `.env`: read, written into, read again.
//!
//! Always true: the input is a file, and behind a NUL a value that is written into it.
//!
//! Does not: compare with Compose (the e2e tests do).

use std::collections::BTreeMap;

use agnes_config::dotenv::{self, Parsed};

const KEY: &str = "AGNES_FUZZED";

/// # Panics
/// When a promise of `dotenv` does not hold.
pub fn check(bytes: &[u8]) {
    let (file, value) = crate::two(bytes);
    let parsed = dotenv::parse(file, &|_| None);
    for entry in &parsed.entries {
        assert!(!entry.key.is_empty() && entry.line > 0);
        assert!(entry.span.start <= entry.span.end);
        if std::str::from_utf8(file).is_ok() {
            assert!(
                file.get(entry.span.clone()).is_some(),
                "a span out of the file"
            );
        }
    }
    for fault in &parsed.faults {
        assert!(fault.line > 0 && !fault.message.is_empty());
    }
    let Ok(value) = std::str::from_utf8(value) else {
        return;
    };
    if let Some(quoted) = dotenv::quote(value) {
        let line = format!("{KEY}={quoted}\n");
        let read = dotenv::parse(line.as_bytes(), &|_| None);
        assert!(read.faults.is_empty(), "{quoted:?}: {:?}", read.faults);
        assert_eq!(value_of(&read, KEY), Some(value), "{quoted:?}");
    }
    let Ok(written) = dotenv::upsert(file, &[(KEY, value)]) else {
        return;
    };
    let read = dotenv::parse(&written, &|_| None);
    assert_eq!(value_of(&read, KEY), Some(value));
    let again = dotenv::upsert(&written, &[(KEY, value)]);
    assert_eq!(again.as_deref(), Ok(written.as_slice()), "not idempotent");
    assert_eq!(others(&parsed), others(&read), "another key changed");
    if let Ok(removed) = dotenv::remove(&written, KEY) {
        let read = dotenv::parse(&removed, &|_| None);
        assert!(value_of(&read, KEY).unwrap_or_default().is_empty());
        assert_eq!(others(&parsed), others(&read), "another key changed");
    }
}

fn value_of<'a>(parsed: &'a Parsed, key: &str) -> Option<&'a str> {
    parsed.get(key).map(|entry| entry.value.as_str())
}

/// What counts of the other keys; those made of variables may be made of ours.
fn others(parsed: &Parsed) -> BTreeMap<&str, &str> {
    let entries = parsed.entries.iter();
    entries
        .filter(|entry| entry.key != KEY && !entry.interpolated)
        .map(|entry| (entry.key.as_str(), entry.value.as_str()))
        .collect()
}

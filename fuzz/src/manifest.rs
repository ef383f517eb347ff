//! The manifest of a snapshot, which may come from another host.
//!
//! Always true: what is read is written and read again as the same; a refusal is one line.
//!
//! Does not: look at the files that it names.

use crate::document::{Manifest, made_at};

/// # Panics
/// When a promise of `snapshot/manifest` does not hold.
pub fn check(bytes: &[u8]) {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(why) => {
            assert!(
                !why.is_empty() && !why.chars().any(char::is_control),
                "{why:?}"
            );
            return;
        }
    };
    let written = serde_json::to_vec_pretty(&manifest).expect("what was read can be written");
    assert_eq!(Manifest::parse(&written).as_ref(), Ok(&manifest));
    let largest = manifest.files.values().map(|file| file.size).max();
    assert!(manifest.bytes() >= largest.unwrap_or_default());
    manifest.is_of_the_time_of(&manifest.id);
    if let Some(at) = made_at(&manifest.id) {
        assert_eq!(at.nanosecond(), 0);
    }
}

//! Journals: what a run reads first and then finishes or undoes.
//!
//! Always true: each input is tried as every kind of entry; one that is read is written and read again as the same, also by a
//! version that does not know all of its fields; no path of it leads out of where it is joined to.
//!
//! Does not: finish or undo anything.

use std::fmt::Debug;
use std::path::{Component, Path};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[path = "../../agnes-ops/src/journal/named.rs"]
pub mod named;
#[path = "../../agnes-ops/src/snapshot/restore/transaction.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod restore;
#[path = "../../agnes-ops/src/upgrade/transaction.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod upgrade;

/// # Panics
/// When an entry is not what was written, or leads astray.
pub fn check(bytes: &[u8]) {
    crate::secrets::check(bytes);
    if let Some(entry) = entry::<restore::Transaction>(bytes) {
        stays(&entry.id);
        entry
            .configuration
            .iter()
            .for_each(|(path, _)| is_below(path));
    }
    if let Some(entry) = entry::<upgrade::Transaction>(bytes) {
        stays(&entry.id);
    }
}

/// The entry, if it is one of this kind.
pub(crate) fn entry<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    bytes: &[u8],
) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec_pretty(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, read);
    let mut later: Value = serde_json::from_slice(&written).expect("JSON");
    if let Some(fields) = later.as_object_mut() {
        fields.insert("of_a_later_version".to_owned(), Value::Bool(true));
    }
    let earlier: T = serde_json::from_value(later).expect("a later version's field is in the way");
    assert_eq!(earlier, read);
    Some(read)
}

fn stays(name: &str) {
    let base = Path::new("/var/lib/agnes/ops/replaced");
    assert_eq!(base.join(name).parent(), Some(base), "{name:?}");
    assert_ne!(name, "..");
}

fn is_below(path: &Path) {
    let leaves = |part: Component<'_>| !matches!(part, Component::Normal(_));
    assert!(!path.components().any(leaves), "{path:?}");
}

//! What the control socket is told.
//!
//! Always true: each input is tried as every message; a snapshot's name that is taken is one file's.
//!
//! Does not: act.

use std::path::Path;

#[path = "../../agnesd/src/control/messages.rs"]
mod messages;

use messages::{Holding, LockedOut, Releasing, Wanted};

/// # Panics
/// When a message is taken that must not be.
pub fn check(bytes: &[u8]) {
    if let Ok(wanted) = serde_json::from_slice::<Wanted>(bytes)
        && let Ok(name) = wanted.name()
    {
        let base = Path::new("/data/snapshots");
        assert_eq!(base.join(&name).parent(), Some(base), "{name:?}");
        assert!(!name.starts_with('.') && !name.ends_with(".part"));
    }
    if let Ok(holding) = serde_json::from_slice::<Holding>(bytes)
        && let Ok((id, by)) = holding.id_and_by("somebody")
    {
        for text in [id, by] {
            assert!(
                !text.is_empty() && !text.chars().any(char::is_control),
                "{text:?}"
            );
        }
    }
    if let Ok(releasing) = Releasing::read(bytes) {
        let body = bytes.trim_ascii();
        assert!(body.is_empty() || body.starts_with(b"{"));
        drop(releasing.id);
    }
    if let Ok(locked_out) = serde_json::from_slice::<LockedOut>(bytes) {
        drop(locked_out.email);
    }
}

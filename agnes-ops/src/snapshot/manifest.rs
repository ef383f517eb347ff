//! What a snapshot says of itself: `manifest.json`.
//!
//! Always true: a snapshot without a manifest, one whose manifest is none, and a host that refuses are three things.
//!
//! Does not: know the fields (`document` does), or prove anything; whoever verifies compares.

mod document;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::host::{Entry, Host};

pub use document::{File, LeftOut, Manifest, Reason, id, made_at};

/// Its name in a snapshot.
pub const MANIFEST: &str = "manifest.json";

impl Manifest {
    /// Reads that of the snapshot in `directory`; `Err`: why it is none.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn read(host: &Host, directory: &Path) -> Result<Result<Self, Unusable>> {
        let path = directory.join(MANIFEST);
        let named = || format!("{}: read", path.display());
        match host.entry(&path).with_context(named)? {
            Entry::Absent => return Ok(Err(Unusable::Missing)),
            Entry::File { .. } => {}
            _ => return Ok(Err(Unusable::Unreadable("is no regular file".to_owned()))),
        }
        let Some(bytes) = host.read(&path).with_context(named)? else {
            return Ok(Err(Unusable::Missing));
        };
        Ok(Self::parse(&bytes).map_err(Unusable::Unreadable))
    }
}

/// Why there is no manifest to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is none.
    Missing,
    /// It is no manifest.
    Unreadable(String),
}

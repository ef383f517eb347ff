//! What was proven of which snapshot, kept outside of them: `$STATE_DIR/ops/ledger/snapshots.json`.
//!
//! Always true: what is said of a snapshot is said of its manifest as it was then; one that was changed since counts as not proven.
//!
//! Does not: prove.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agnes_config::Settings;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::host::Host;
use crate::state_file;

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By the snapshot's name.
    pub snapshots: BTreeMap<String, Known>,
    /// The last restore that was tried out.
    pub last_drill: Option<Drill>,
    /// The last push, by place.
    #[serde(default)]
    pub pushed: BTreeMap<String, Pushed>,
}

/// Of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// SHA-256 of its manifest when it was last proven; of one that never was, when it was last looked at.
    pub manifest_sha256: String,
    /// The last look found something: SHA-256 of the manifest then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_sha256: Option<String>,
    /// When it was last proven; `None`: it never was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub proven_at: Option<OffsetDateTime>,
    /// What proved it: `create`, `verify`, `drill` or `pull`.
    pub by: String,
}

/// A restore that was tried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Of which snapshot.
    pub snapshot: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// From the first byte that was copied to a server that reads and writes, in milliseconds.
    pub rto_ms: u64,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Of which snapshot.
    pub snapshot: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// How a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was opened and is what it says.
    Proven(OffsetDateTime),
    /// Something was found.
    Failed,
    /// Nobody has looked, or it was changed since.
    Unknown,
}

impl Ledger {
    fn path(settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/ledger/snapshots.json")
    }

    /// Reads it; absent: nothing is known.
    ///
    /// # Errors
    /// When it is there and not understood: nothing may be assumed, and nothing deleted.
    pub fn read(host: &Host, settings: &Settings) -> Result<Self> {
        let kept = state_file::read(host, &Self::path(settings))?;
        Ok(kept.unwrap_or_default())
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, host: &Host, settings: &Settings) -> Result<()> {
        state_file::write(host, &Self::path(settings), self)
    }

    /// Notes what a look came to; `None`: it found something.
    pub fn note(&mut self, id: &str, manifest: &str, proven_at: Option<OffsetDateTime>, by: &str) {
        let before = self.snapshots.get(id);
        let known = match (proven_at, before) {
            // what was proven is still what it has to be compared with
            (None, Some(before)) if before.proven_at.is_some() => Known {
                damaged_sha256: Some(manifest.to_owned()),
                by: by.to_owned(),
                ..before.clone()
            },
            _ => Known {
                manifest_sha256: manifest.to_owned(),
                damaged_sha256: proven_at.is_none().then(|| manifest.to_owned()),
                proven_at,
                by: by.to_owned(),
            },
        };
        self.snapshots.insert(id.to_owned(), known);
    }

    /// SHA-256 of the manifest with which it was proven; `None`: it never was.
    pub fn proven_manifest(&self, id: &str) -> Option<&str> {
        let known = self.snapshots.get(id)?;
        known.proven_at?;
        Some(&known.manifest_sha256)
    }

    /// How the snapshot with this manifest stands; `None`: it has none that could be read.
    pub fn standing(&self, id: &str, manifest: Option<&str>) -> Standing {
        let Some(manifest) = manifest else {
            return Standing::Failed;
        };
        match self.snapshots.get(id) {
            Some(known) if known.damaged_sha256.as_deref() == Some(manifest) => Standing::Failed,
            Some(known) if known.manifest_sha256 == manifest => match known.proven_at {
                Some(at) => Standing::Proven(at),
                None => Standing::Failed,
            },
            _ => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    #[test]
    fn a_look_that_found_something_does_not_forget_what_was_proven() {
        let mut ledger = Ledger::default();
        ledger.note("a", "original", Some(AT), "create");
        assert_eq!(ledger.standing("a", Some("original")), Standing::Proven(AT));
        // the manifest was exchanged: told at every look
        ledger.note("a", "other", None, "verify");
        assert_eq!(ledger.proven_manifest("a"), Some("original"));
        assert_eq!(ledger.standing("a", Some("other")), Standing::Failed);
        // and the original is no false alarm
        assert_eq!(ledger.standing("a", Some("original")), Standing::Proven(AT));
        // damage below the same manifest is damage until a look finds none
        ledger.note("a", "original", None, "verify");
        assert_eq!(ledger.standing("a", Some("original")), Standing::Failed);
        ledger.note("a", "original", Some(AT), "verify");
        assert_eq!(ledger.standing("a", Some("original")), Standing::Proven(AT));
        // what was never proven has nothing to be compared with
        ledger.note("b", "first", None, "verify");
        assert_eq!(ledger.proven_manifest("b"), None);
        assert_eq!(ledger.standing("b", Some("first")), Standing::Failed);
    }
}

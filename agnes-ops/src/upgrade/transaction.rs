//! An upgrade on its way, as the journal holds it.
//!
//! Always true: each phase names what the next run has to undo or finish; paths and digests, no secret.
//!
//! Does not: change anything.

use std::path::PathBuf;

use agnes_config::Settings;
use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::journal::named;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Images, snapshot and rehearsal: the old version serves as ever.
    Preparing,
    /// Writes are being held, or are.
    Holding,
    /// The old version is being stopped, and its data copied.
    Stopping,
    /// The new version is being started, or runs held.
    Starting,
    /// The new version takes writes: from here no data goes back.
    Released,
    /// The old version is being put back.
    Undoing,
}

/// A version as it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The digest; `None`: it was built on this host.
    pub digest: Option<Digest>,
    /// What Compose is told: `repository@sha256:…`, or a tag of ours for what has no digest.
    pub image: String,
    /// The image's own id.
    pub image_id: String,
}

impl Release {
    /// For people.
    pub fn short(&self) -> &str {
        self.digest
            .as_ref()
            .map_or(self.image.as_str(), Digest::short)
    }
}

/// Which generation is exchanged for which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFiles {
    /// What `current` named; `None`: there was none, and what is installed on the host counts.
    pub from: Option<String>,
    /// What it shall name.
    pub to: String,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Names the hold, the restore point and the proof.
    #[serde(deserialize_with = "named::name")]
    pub id: String,
    /// How far it is.
    pub phase: Phase,
    /// What ran.
    pub from: Release,
    /// What shall run.
    pub to: Release,
    /// A person goes back: what is wanted is on this host, and what runs goes into the ledger.
    pub back: bool,
    /// What ran did not answer for too long: it is stopped without having been asked.
    #[serde(default)]
    pub sick: bool,
    /// The snapshot whose data goes back too.
    #[serde(default)]
    pub data: Option<String>,
    /// Nothing is swapped: the new version is only tried on a copy.
    #[serde(default)]
    pub rehearsal: bool,
    /// The tag that was followed.
    pub tag: Option<String>,
    /// Id of the old version's container.
    pub container: String,
    /// The new version changes the database's schema.
    pub migrates: bool,
    /// The data had been copied when the old version had stopped: SHA-256 of the copy.
    pub restore_point: Option<String>,
    /// How long that took, with the comparison.
    #[serde(default)]
    pub restore_point_ms: Option<i64>,
    /// Seconds since 1970.
    pub started_at: i64,
    /// Milliseconds since 1970; `None`: writes were not held yet.
    pub held_at_ms: Option<i64>,
    /// How long writes were held, once they are no more.
    pub held_ms: Option<i64>,
    /// The host's files that come with the new version; `None`: it brings none.
    #[serde(default)]
    pub host_files: Option<HostFiles>,
    /// They made the stack's files other ones.
    #[serde(default)]
    pub rendered: bool,
    /// Why it is being undone.
    pub why: Option<String>,
    /// The version itself is to blame, and goes into the ledger.
    pub bad: bool,
}

impl Transaction {
    /// One that has done nothing yet.
    pub fn new(id: String, started_at: i64, from: Release, to: Release) -> Self {
        Self {
            id,
            phase: Phase::Preparing,
            from,
            to,
            back: false,
            sick: false,
            data: None,
            rehearsal: false,
            tag: None,
            container: String::new(),
            migrates: false,
            restore_point: None,
            restore_point_ms: None,
            started_at,
            held_at_ms: None,
            held_ms: None,
            host_files: None,
            rendered: false,
            why: None,
            bad: false,
        }
    }

    /// Where the data of the old version is kept.
    pub fn restore_point_dir(&self, settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/restore-points").join(&self.id)
    }

    /// Where the data that was replaced by an older snapshot's stays.
    pub fn replaced_dir(&self, settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/replaced").join(&self.id)
    }

    /// Where the new version rehearses.
    pub fn scratch(&self, settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/rehearsal").join(&self.id)
    }
}

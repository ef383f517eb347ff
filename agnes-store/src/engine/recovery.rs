//! Serving without a quarantined log, once a person has accepted the loss.
//!
//! Always true: the database is proven to open and to count before the marker goes; the quarantine directory stays; the note
//! for the audit log is on the disk before the server can start.
//!
//! Does not: decide. `agnesd db recover` without its flag changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::quarantine::{COPY, Marker, marker};
use super::{Options, durable, prove};
use crate::clock;

/// What was given up, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryNote {
    /// When the loss was accepted.
    pub at: String,
    /// Where the log is kept.
    pub directory: PathBuf,
    /// The log's size.
    pub wal_bytes: u64,
    /// SHA-256 of the log.
    pub wal_sha256: String,
    /// When the log was last written.
    pub last_write: Option<String>,
    /// What the database is as of.
    pub last_checkpoint: Option<String>,
    /// By table.
    pub rows: BTreeMap<String, u64>,
    #[serde(skip)]
    file: PathBuf,
}

impl RecoveryNote {
    /// Removes the note: call it once its audit row is durable.
    ///
    /// # Errors
    /// The system's; the note comes again at the next start then.
    pub fn acknowledge(self) -> std::io::Result<()> {
        durable::remove(&self.file)
    }
}

/// The note of a recovery that is not yet in the audit log.
///
/// # Errors
/// The system's, or [`std::io::ErrorKind::InvalidData`] for a note that does not parse.
pub fn take_recovery_note(state_dir: &Path) -> std::io::Result<Option<RecoveryNote>> {
    let file = note(state_dir);
    match std::fs::read(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
        Ok(bytes) => {
            let note: RecoveryNote = serde_json::from_slice(&bytes)
                .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
            Ok(Some(RecoveryNote { file, ..note }))
        }
    }
}

/// Keeps a note that does not parse beside where it was, under a name of its own, so that it is told once. Returns that name.
///
/// # Errors
/// The system's; the note comes again at the next start then.
pub fn set_recovery_note_aside(state_dir: &Path) -> std::io::Result<PathBuf> {
    let id = uuid::Uuid::now_v7().simple();
    let aside = state_dir.join(format!("recovered.json.unreadable-{id}"));
    durable::rename(&note(state_dir), &aside)?;
    Ok(aside)
}

/// What recovering would give up and what it would serve: the quarantined copy, counted.
pub(crate) fn at_risk(options: &Options, marker: &Marker) -> Result<RecoveryNote, String> {
    let content = prove(options, &marker.directory.join(COPY))?;
    Ok(given_up(options, marker, &content))
}

/// Proves, notes, lifts the marker.
pub(crate) fn accept_loss(
    options: &Options,
    database: &Path,
    quarantined: &Marker,
) -> Result<RecoveryNote, String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    quarantined
        .finish()
        .map_err(failed(&quarantined.directory))?;
    let content = prove(options, database)?;
    let given_up = given_up(options, quarantined, &content);
    let text = serde_json::json!(given_up).to_string();
    durable::write(&given_up.file, text.as_bytes()).map_err(failed(&given_up.file))?;
    let marker = marker(database);
    durable::remove(&marker).map_err(failed(&marker))?;
    Ok(given_up)
}

fn given_up(options: &Options, marker: &Marker, content: &Content) -> RecoveryNote {
    let rows = content
        .tables
        .iter()
        .map(|(name, t)| (name.clone(), t.rows));
    RecoveryNote {
        at: durable::rfc3339(clock::now()),
        directory: marker.directory.clone(),
        wal_bytes: marker.wal_bytes,
        wal_sha256: marker.wal_sha256.clone(),
        last_write: marker.last_write.clone(),
        last_checkpoint: marker.last_checkpoint.clone(),
        rows: rows.collect(),
        file: note(&options.state_dir),
    }
}

fn note(state_dir: &Path) -> PathBuf {
    state_dir.join("recovered.json")
}

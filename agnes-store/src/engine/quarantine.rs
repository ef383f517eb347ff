//! A write-ahead log that cannot be replayed, put aside with everything that a person needs.
//!
//! Always true: nothing is deleted; the copy and the report are on the disk before the log moves; from then on a marker keeps
//! every start from serving without it, until a person accepts the loss.
//!
//! Does not: try to read the log; `replay.rs` has, twice.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::OpenError;
use super::lock::beside;
use super::replay::Attempts;
use super::{Options, copy, durable};
use crate::clock;

/// What stands beside the database while it is not served.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// Where log, copy and report are.
    pub(crate) directory: PathBuf,
    /// All logs together.
    pub(crate) wal_bytes: u64,
    /// Of the log; of several, joined by `+`.
    pub(crate) wal_sha256: String,
    /// When it was put aside.
    pub(crate) at: String,
    /// When the log was last written.
    pub(crate) last_write: Option<String>,
    /// When the database was last written: its last checkpoint.
    pub(crate) last_checkpoint: Option<String>,
    /// The logs, as they lay beside the database.
    pub(crate) logs: Vec<PathBuf>,
}

impl Marker {
    /// The marker of `database`, if it has one.
    pub(crate) fn read(database: &Path) -> Result<Option<Self>, OpenError> {
        let path = marker(database);
        let read = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => Err(e),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::from),
        };
        read.map(Some).map_err(|source| OpenError::Io {
            path,
            operation: "read the marker of a quarantine",
            source,
        })
    }

    /// As the refusal to start.
    pub(crate) fn refusal(self, database: &Path) -> OpenError {
        OpenError::Quarantined {
            path: database.to_owned(),
            directory: self.directory,
            wal_bytes: self.wal_bytes,
        }
    }

    /// Moves what is still beside the database: a power cut may have come between marker and move.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        for log in &self.logs {
            let Some(name) = log.file_name() else {
                continue;
            };
            let to = self.directory.join(name);
            if log.exists() && !to.exists() {
                durable::rename(log, &to)?;
            }
        }
        Ok(())
    }
}

/// `system.duckdb.quarantined`.
pub(crate) fn marker(database: &Path) -> PathBuf {
    beside(database, ".quarantined")
}

/// Copies, reports, marks, moves. Returns why the database is not opened: for success, [`OpenError::Quarantined`].
pub(crate) fn put_aside(
    options: &Options,
    database: &Path,
    logs: &[PathBuf],
    attempts: &Attempts,
) -> OpenError {
    match prepare(options, database, logs, attempts) {
        Err(why) => OpenError::Inconclusive {
            path: database.to_owned(),
            why: format!("quarantine it: {why}"),
        },
        Ok(marker) => match marker.finish() {
            Err(source) => OpenError::Io {
                path: marker.directory,
                operation: "move the write-ahead log",
                source,
            },
            Ok(()) => marker.refusal(database),
        },
    }
}

fn prepare(
    options: &Options,
    database: &Path,
    logs: &[PathBuf],
    attempts: &Attempts,
) -> Result<Marker, String> {
    let now = clock::now();
    let short = attempts.wal_sha256.get(..12).unwrap_or_default();
    let quarantine = options.state_dir.join("quarantine");
    let directory = unfinished(&quarantine, short)
        .unwrap_or_else(|| quarantine.join(format!("{}-{short}", durable::stamp(now))));
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    durable::directory(&quarantine).map_err(failed(&quarantine))?;
    durable::directory(&directory).map_err(failed(&directory))?;
    let copy_at = directory.join(database.file_name().unwrap_or_default());
    // left by an attempt that a power cut ended, and worth nothing without a report
    durable::remove(&copy_at).map_err(failed(&copy_at))?;
    let copied = copy::copy(options, database, &copy_at)?;
    let last = |path: Option<&Path>| {
        let modified = path?.metadata().ok()?.modified().ok()?;
        Some(durable::rfc3339(modified.into()))
    };
    let mut wal_bytes = 0;
    for log in logs {
        wal_bytes += durable::bytes(log).map_err(failed(log))?;
    }
    let marker_value = Marker {
        directory: directory.clone(),
        wal_bytes,
        wal_sha256: attempts.wal_sha256.clone(),
        at: durable::rfc3339(now),
        last_write: last(logs.first().map(PathBuf::as_path)),
        last_checkpoint: last(Some(database)),
        logs: logs.to_vec(),
    };
    let report = json!({
        "database": database,
        "copy": copied,
        "quarantine": marker_value,
        "aborts": attempts.aborts,
        "release": options.release,
    });
    let report_at = directory.join("report.json");
    let text = format!("{report:#}\n");
    durable::write(&report_at, text.as_bytes()).map_err(failed(&report_at))?;
    let marker_at = marker(database);
    durable::write(&marker_at, json!(marker_value).to_string().as_bytes())
        .map_err(failed(&marker_at))?;
    Ok(marker_value)
}

/// A directory for this log that never got its report: used again, so that a full disk is not filled further.
fn unfinished(quarantine: &Path, short: &str) -> Option<PathBuf> {
    std::fs::read_dir(quarantine)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.ends_with(short)) && !path.join("report.json").exists()
        })
}

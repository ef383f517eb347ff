//! Why a database was not opened.
//!
//! Always true: each is one line that names the object, the operation and what was left on the host; where there is one
//! safe next step, [`OpenError::hint`] says it.
//!
//! Does not: print, choose an exit code.

use std::path::PathBuf;

/// A refusal to open. [`OpenError::is_config`] tells the two that no restart will cure.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns it.
    #[error("{}: in use by another process{}; nothing was opened", .path.display(), named(*.pid))]
    Locked {
        /// The database.
        path: PathBuf,
        /// Who holds it, when it has written its name.
        pid: Option<u32>,
    },
    /// A newer program has migrated it.
    #[error("{}: its schema is version {file}, this program knows versions up to {program}; nothing was changed", .path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The file's schema version.
        file: u32,
        /// The newest one that this program knows.
        program: u32,
    },
    /// Its tables are not the ones of its version.
    #[error("{}: its columns are not those of schema version {version}: {}; nothing was changed", .path.display(), .differences.join(", "))]
    ForeignSchema {
        /// The database.
        path: PathBuf,
        /// The version it says it has.
        version: u32,
        /// The first few differences.
        differences: Vec<String>,
    },
    /// Its write-ahead log could not be replayed twice in a row and was put aside.
    #[error("{}: its write-ahead log ({wal_bytes} bytes) cannot be replayed and was moved to {}; the database is as of its last checkpoint and is not served", .path.display(), .directory.display())]
    Quarantined {
        /// The database.
        path: PathBuf,
        /// Where log, copy and report are.
        directory: PathBuf,
        /// The log's size.
        wal_bytes: u64,
    },
    /// It is not known whether the write-ahead log is sound: replaying it was cut short from outside.
    #[error("{}: replay the write-ahead log: {why}; nothing was moved", .path.display())]
    Inconclusive {
        /// The database.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// A migration failed; its transaction was rolled back.
    #[error("{}: migration {version} ({name}): {why}; it was rolled back{}", .path.display(), kept(.copy.as_ref()))]
    Migration {
        /// The database.
        path: PathBuf,
        /// The version that was not reached.
        version: u32,
        /// The migration's name.
        name: String,
        /// The engine's words.
        why: String,
        /// The copy from before, where there was something to copy.
        copy: Option<PathBuf>,
    },
    /// The copy that a migration needs could not be made; no migration was begun.
    #[error("{}: copy before a migration: {why}; nothing was migrated", .path.display())]
    Copy {
        /// Where the copy was to be.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// The operating system refused.
    #[error("{}: {operation}: {source}; nothing was opened", .path.display())]
    Io {
        /// The object.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// The engine refused.
    #[error("{}: {operation}: {why}; nothing was changed", .path.display())]
    Engine {
        /// The database.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// The engine's words, in one line.
        why: String,
    },
    /// It opened, but what its tables hold makes no sense together.
    #[error("{}: {why}; nothing was changed", .path.display())]
    Contents {
        /// The database.
        path: PathBuf,
        /// What makes no sense.
        why: String,
    },
}

impl OpenError {
    /// Program and file do not belong together: no restart cures it (`EX_CONFIG`).
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(self, Self::NewerSchema { .. } | Self::ForeignSchema { .. })
    }

    /// Which of them it is, in one word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "locked",
            Self::NewerSchema { .. } => "newer-schema",
            Self::ForeignSchema { .. } => "foreign-schema",
            Self::Quarantined { .. } => "quarantined",
            Self::Inconclusive { .. } => "inconclusive",
            Self::Migration { .. } => "migration",
            Self::Copy { .. } => "copy",
            Self::Io { .. } => "io",
            Self::Engine { .. } => "engine",
            Self::Contents { .. } => "contents",
        }
    }

    /// The one safe next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("stop that process first"),
            Self::NewerSchema { .. } => {
                Some("start the program that migrated it, or a newer one; a schema never goes back")
            }
            Self::ForeignSchema { .. } => {
                Some("this file was not made by this program's migrations: restore a snapshot")
            }
            Self::Quarantined { .. } => Some(
                "`agnesd db recover` says what is at risk; `agnesd db recover --accept-loss` serves without it",
            ),
            Self::Inconclusive { .. } => {
                Some("free space, memory or time for it and start again: the log is where it was")
            }
            Self::Copy { .. } => Some("make room on the data disk; the copy is not optional"),
            _ => None,
        }
    }
}

fn named(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn kept(copy: Option<&PathBuf>) -> String {
    copy.map(|path| format!("; the copy from before is {}", path.display()))
        .unwrap_or_default()
}

/// An engine's message in one line, bounded: it quotes the statement and points at it over several lines.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(400) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

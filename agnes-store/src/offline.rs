//! A database file while no server runs: check, migrate, verify, export, recover.
//!
//! Always true: each takes the owner's lock first, except [`verify`], which works on a copy; the file is read in a child, so
//! that damage ends a child and not the caller.
//!
//! Does not: print, choose exit codes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock;
pub use crate::engine::Migrated;
use crate::engine::attach::words;
use crate::engine::child::{Ended, Task};
use crate::engine::content::Content;
pub use crate::engine::content::Table;
use crate::engine::copy::{Copied, copy, patience};
use crate::engine::error::OpenError;
use crate::engine::lock::{Lock, beside};
use crate::engine::quarantine::Marker;
use crate::engine::{Engine, Options, child, claim, durable, prove, recovery, replay};
use crate::migrations::{self, Migrations};
use crate::{RecoveryNote, engine};

/// What was found in a file.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// The file.
    pub file: PathBuf,
    /// Its figures, unless it could not be read.
    #[serde(flatten)]
    pub figures: Option<Figures>,
    /// What happened on the way.
    pub notes: Vec<String>,
    /// What is wrong with it; empty for a sound file.
    pub findings: Vec<String>,
}

/// A database's figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Its schema version.
    pub schema: u32,
    /// The version of the engine that read it, such as `v1.5.6`.
    pub engine: String,
    /// Rows and content hash of every table.
    pub tables: std::collections::BTreeMap<String, Table>,
}

/// A finished export.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// Where the copy is.
    pub file: PathBuf,
    /// When it was made.
    pub made_at: String,
    /// Its bytes and their SHA-256.
    #[serde(flatten)]
    pub copied: Copied,
    /// Its figures, read from the copy.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a recovery found or did.
#[derive(Debug)]
pub enum Recovery {
    /// There is no quarantine to recover from.
    Nothing,
    /// Nothing was changed; this is what would be given up.
    AtRisk(RecoveryNote),
    /// Done.
    Accepted(RecoveryNote),
}

/// What a migration came to.
#[derive(Debug)]
pub struct Migration {
    /// The file's schema version now.
    pub schema: u32,
    /// What was migrated, if anything.
    pub migrated: Option<Migrated>,
    /// What happened on the way.
    pub notes: Vec<String>,
}

/// Opens `file`, migrating it as a server would.
///
/// # Errors
/// As a server's.
pub fn migrate(options: &Options, file: &Path) -> Result<Migration, OpenError> {
    present(file)?;
    migrate_with(options, file, &Migrations::embedded())
}

/// As [`migrate`], with the migrations of another program; a file that is missing is made.
///
/// # Errors
/// As [`migrate`].
#[doc(hidden)]
pub fn migrate_with(
    options: &Options,
    file: &Path,
    list: &Migrations,
) -> Result<Migration, OpenError> {
    let engine = Engine::open_at(options, file, list)?;
    Ok(Migration {
        schema: engine.schema(),
        migrated: engine.migrated().cloned(),
        notes: engine.notes().to_vec(),
    })
}

/// Replays a write-ahead log if there is one and reads all of `file`.
///
/// # Errors
/// When it cannot be owned: locked, quarantined, its log not replayed.
pub fn check(options: &Options, file: &Path) -> Result<Findings, OpenError> {
    present(file)?;
    let (lock, note) = claim(options, file)?;
    let read = prove(options, file);
    drop(lock);
    Ok(judge(file, read, note.into_iter().collect()))
}

/// Copies `file`, and a write-ahead log beside it, into `scratch` and reads all of the copy; `file` is only read.
///
/// # Errors
/// When there is no such file or it cannot be copied.
pub fn verify(options: &Options, file: &Path, scratch: &Path) -> Result<Findings, OpenError> {
    present(file)?;
    // a live database cannot be read from outside: where its lock can be taken, nobody writes it; on read-only media nobody can
    let _lock = match Lock::take(file) {
        Ok(lock) => Some(lock),
        Err(locked @ OpenError::Locked { .. }) => return Err(locked),
        Err(_) => None,
    };
    let room = scratch.join(format!("verify-{}", uuid::Uuid::now_v7().simple()));
    let failed = |why: String| OpenError::Engine {
        path: room.clone(),
        operation: "copy there for verifying",
        why,
    };
    durable::directory(&room).map_err(|e| failed(e.to_string()))?;
    let copied = room.join(engine::DATABASE);
    let outcome = verify_copy(options, file, &copied);
    for path in [copied.clone()]
        .into_iter()
        .chain(replay::beside_all(&copied))
    {
        let _ = durable::remove(&path);
    }
    let _ = std::fs::remove_dir(&room);
    let (read, notes) = outcome.map_err(failed)?;
    Ok(judge(file, read, notes))
}

type Read = (Result<Content, String>, Vec<String>);

fn verify_copy(options: &Options, file: &Path, copied: &Path) -> Result<Read, String> {
    copy(options, file, copied)?;
    let mut notes = Vec::new();
    let logs = replay::logs(file).map_err(|e| e.to_string())?;
    for (from, to) in replay::beside_all(file).zip(replay::beside_all(copied)) {
        if logs.contains(&from) {
            copy(options, &from, &to)?;
        }
    }
    if !logs.is_empty() {
        let bytes = durable::bytes(file).unwrap_or_default();
        let task = Task::Replay(copied.to_owned());
        match child::run(options, &task, patience(bytes)) {
            Ended::Done(_) => notes.push("read with the write-ahead log beside it".to_owned()),
            Ended::Failed(failure) => return Ok((Err(failure.why), notes)),
            Ended::Crashed(why) => return Ok((Err(why), notes)),
            Ended::Stopped(why) => return Err(why),
        }
    }
    Ok((prove(options, copied), notes))
}

/// Copies the database to `to`, which must not exist, under a temporary name until the copy is proven.
///
/// # Errors
/// As [`check`]'s, or when the copy is not what was copied; nothing is left of it then.
pub fn export(options: &Options, file: &Path, to: &Path) -> Result<Manifest, OpenError> {
    present(file)?;
    let (_lock, _) = claim(options, file)?;
    let failed = |why: String| OpenError::Engine {
        path: to.to_owned(),
        operation: "export",
        why,
    };
    if to.exists() {
        return Err(failed("it exists".to_owned()));
    }
    let now = clock::now();
    let part = beside(to, ".part");
    durable::remove(&part).map_err(|e| failed(e.to_string()))?;
    let copied = copy(options, file, &part).map_err(failed)?;
    let published = prove(options, &part).and_then(|content| {
        durable::rename(&part, to).map_err(|e| e.to_string())?;
        Ok(content)
    });
    let content = published.map_err(|why| {
        let _ = durable::remove(&part);
        failed(why)
    })?;
    Ok(Manifest {
        file: to.to_owned(),
        made_at: durable::rfc3339(now),
        copied,
        figures: figures(content),
    })
}

/// Says what serving without the quarantined log gives up and, when that is `accepted`, makes it so.
///
/// # Errors
/// When the database is in use or does not open; the marker stays then.
pub fn recover(options: &Options, accepted: bool) -> Result<Recovery, OpenError> {
    let file = options.database();
    present(&file)?;
    let _lock = Lock::take(&file)?;
    let Some(marker) = Marker::read(&file)? else {
        return Ok(Recovery::Nothing);
    };
    let failed = |why| OpenError::Engine {
        path: file.clone(),
        operation: "recover",
        why,
    };
    if accepted {
        let note = recovery::accept_loss(options, &file, &marker).map_err(failed)?;
        return Ok(Recovery::Accepted(note));
    }
    let note = recovery::at_risk(options, &marker).map_err(failed)?;
    Ok(Recovery::AtRisk(note))
}

fn judge(file: &Path, read: Result<Content, String>, notes: Vec<String>) -> Findings {
    let (figures, findings) = match read {
        Err(why) => (None, vec![why]),
        Ok(content) => {
            let findings = schema(&content);
            (Some(figures(content)), findings)
        }
    };
    Findings {
        file: file.to_owned(),
        figures,
        notes,
        findings,
    }
}

fn figures(content: Content) -> Figures {
    Figures {
        schema: content.schema,
        engine: content.engine,
        tables: content.tables,
    }
}

/// The columns of a file must be those of the version that it says it has, also of an older one.
fn schema(content: &Content) -> Vec<String> {
    let newest = Migrations::embedded().newest();
    match content.schema {
        0 => vec!["it has no schema version: Agnes did not make it".to_owned()],
        newer if newer > newest => vec![format!(
            "its schema is version {newer}, this program knows versions up to {newest}"
        )],
        version => match Migrations::up_to(version).columns() {
            Err(e) => vec![words(&e)],
            Ok(expected) => migrations::differences(&expected, &content.columns),
        },
    }
}

fn present(file: &Path) -> Result<(), OpenError> {
    if file.is_file() {
        return Ok(());
    }
    Err(missing(file))
}

fn missing(file: &Path) -> OpenError {
    OpenError::Io {
        path: file.to_owned(),
        operation: "open",
        source: std::io::ErrorKind::NotFound.into(),
    }
}

//! The engine and the one file that it owns, from the first look at it to a connection that may be used.
//!
//! Start: lock → a quarantine's marker → the write-ahead log, in a child → attach → schema version → copy and migrate →
//! columns.
//!
//! Always true: one owner for each file, for as long as [`Engine`] lives; the file is never opened in this process outside the
//! engine; what stands in the way is an [`OpenError`] that left the host as it says.
//!
//! Does not: write rows, choose when to checkpoint.

pub(crate) mod attach;
mod before;
pub(crate) mod child;
pub(crate) mod content;
pub(crate) mod copy;
pub(crate) mod durable;
pub(crate) mod error;
pub(crate) mod lock;
pub(crate) mod quarantine;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod room;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use duckdb::Connection;

use self::attach::{Access, Limits, attach, words};
use self::child::{Ended, Task};
use self::content::Content;
pub(crate) use self::error::OpenError;
use self::lock::Lock;
use self::quarantine::Marker;
use crate::migrations::{self, Migrations};

/// The database's name in `$STATE_DIR`.
pub const DATABASE: &str = "system.duckdb";

/// What opening a database needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// `$STATE_DIR`: the database, its copies and what is put aside.
    pub state_dir: PathBuf,
    /// For the engine's buffers, in bytes; also of a child.
    pub memory_limit_bytes: u64,
    /// Threads of one query.
    pub threads: u32,
    /// `agnesd` itself, which performs a [`Task`](child::Task) given as `db replay|copy|prove`.
    pub program: PathBuf,
    /// This program's version, for `schema_version` and reports.
    pub release: String,
}

impl Options {
    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state_dir.join(DATABASE)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory_limit_bytes,
            threads: self.threads,
        }
    }
}

/// What the schema went through when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The file's version before; 0 for a new file.
    pub from: u32,
    /// Its version now.
    pub to: u32,
    /// The copy from before; none of a new file.
    pub copy: Option<PathBuf>,
}

/// The owner of an open database.
#[derive(Debug)]
pub(crate) struct Engine {
    root: Mutex<Connection>,
    path: PathBuf,
    schema: u32,
    migrated: Option<Migrated>,
    notes: Vec<String>,
    // last: released after the root connection has closed the file
    _lock: Lock,
}

impl Engine {
    /// Opens `$STATE_DIR/system.duckdb`, making or migrating it as needed.
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_at(options, &options.database(), &Migrations::embedded())
    }

    /// As [`Engine::open`], another file and the migrations of another program.
    pub(crate) fn open_at(
        options: &Options,
        path: &Path,
        list: &Migrations,
    ) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let io = |path: &Path, operation| {
            let path = path.to_owned();
            move |source| OpenError::Io {
                path,
                operation,
                source,
            }
        };
        durable::directory(&options.state_dir).map_err(io(&options.state_dir, "make"))?;
        let (lock, note) = claim(options, &path)?;
        let empty = path.metadata().is_ok_and(|file| file.len() == 0);
        if empty && replay::logs(&path)?.is_empty() {
            // a power cut came between its making and its first page; the engine would call it damaged for ever
            durable::remove(&path).map_err(io(&path, "remove the empty file"))?;
        }
        let temporary = options.state_dir.join("tmp");
        durable::directory(&temporary).map_err(io(&temporary, "make"))?;
        let failed = |operation| {
            let path = path.clone();
            move |why| OpenError::Engine {
                path,
                operation,
                why,
            }
        };
        let root = attach(&path, Access::ReadWrite, options.limits(), Some(&temporary))
            .map_err(failed("open"))?;
        // by name: a descriptor of it would drop the engine's lock when it is closed
        durable::keep_private(&path).map_err(io(&path, "set the mode of"))?;
        let mut engine = Self {
            root: Mutex::new(root),
            path: path.clone(),
            schema: 0,
            migrated: None,
            notes: note.into_iter().collect(),
            _lock: lock,
        };
        engine.migrate(options, list)?;
        engine.compare(list)?;
        Ok(engine)
    }

    /// A further connection, in the database's catalog.
    pub(crate) fn connect(&self) -> Result<Connection, duckdb::Error> {
        let connection = self.root().try_clone()?;
        connection.execute_batch("USE agnes")?;
        Ok(connection)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its schema version.
    pub(crate) fn schema(&self) -> u32 {
        self.schema
    }

    /// What was migrated when it was opened.
    pub(crate) fn migrated(&self) -> Option<&Migrated> {
        self.migrated.as_ref()
    }

    /// What happened on the way, a line each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    fn root(&self) -> MutexGuard<'_, Connection> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, operation: &'static str) -> impl Fn(String) -> OpenError + use<> {
        let path = self.path.clone();
        move |why| OpenError::Engine {
            path: path.clone(),
            operation,
            why,
        }
    }

    fn migrate(&mut self, options: &Options, list: &Migrations) -> Result<(), OpenError> {
        let reading = self.failed("read the schema version");
        let found = migrations::version(&self.root()).map_err(|e| reading(words(&e)))?;
        let (from, to) = (found.unwrap_or_default(), list.newest());
        self.schema = from;
        if from > to {
            return Err(OpenError::NewerSchema {
                path: self.path.clone(),
                file: from,
                program: to,
            });
        }
        if found == Some(0) {
            return Err(OpenError::ForeignSchema {
                path: self.path.clone(),
                version: 0,
                differences: vec!["missing table schema_version, or a row in it".to_owned()],
            });
        }
        if from == to {
            return Ok(());
        }
        let copy = match found {
            None => None,
            Some(_) => {
                self.checkpoint()?;
                Some(before::keep(options, &self.path, &self.root(), from, to)?)
            }
        };
        for migration in list.pending(from) {
            migrations::apply(&self.root(), migration, &options.release).map_err(|e| {
                OpenError::Migration {
                    path: self.path.clone(),
                    version: migration.version,
                    name: migration.name.to_owned(),
                    why: words(&e),
                    copy: copy.clone(),
                }
            })?;
            self.schema = migration.version;
        }
        self.checkpoint()?;
        self.notes.push(match &copy {
            None => format!("made a database of schema version {to}"),
            Some(copy) => format!("migrated {from}→{to}, copy at {}", copy.display()),
        });
        self.migrated = Some(Migrated { from, to, copy });
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), OpenError> {
        let failed = self.failed("checkpoint");
        self.root()
            .execute_batch("FORCE CHECKPOINT agnes")
            .map_err(|e| failed(words(&e)))
    }

    /// Real columns against the ones that this program's statements name (S10).
    fn compare(&self, list: &Migrations) -> Result<(), OpenError> {
        let failed = self.failed("read the columns");
        let found = migrations::columns(&self.root()).map_err(|e| failed(words(&e)))?;
        let expected = list.columns().map_err(|e| failed(words(&e)))?;
        if found == expected {
            return Ok(());
        }
        Err(OpenError::ForeignSchema {
            path: self.path.clone(),
            version: self.schema,
            differences: migrations::differences(&expected, &found),
        })
    }
}

/// The lock, no quarantine, no write-ahead log: from here on the file is at rest and ours.
pub(crate) fn claim(
    options: &Options,
    database: &Path,
) -> Result<(Lock, Option<String>), OpenError> {
    let lock = Lock::take(database)?;
    if let Some(marker) = Marker::read(database)? {
        return Err(marker.refusal(database));
    }
    let logs = replay::logs(database)?;
    if !logs.is_empty() {
        room::for_replay(&options.state_dir, &logs).map_err(|e| OpenError::Inconclusive {
            path: database.to_owned(),
            why: e.to_string(),
        })?;
    }
    let note = replay::settle(options, database)?;
    Ok((lock, note))
}

/// What `file`, which nobody may be writing, contains: read in a child, read-only.
pub(crate) fn prove(options: &Options, file: &Path) -> Result<Content, String> {
    let bytes = durable::bytes(file).map_err(|e| format!("{}: {e}", file.display()))?;
    // it makes no small writes, for which one thread is best
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = &Options {
        threads: options.threads.max(u32::try_from(cores).unwrap_or(1)),
        ..options.clone()
    };
    match child::run(
        options,
        &Task::Prove(file.to_owned()),
        copy::patience(bytes),
    ) {
        Ended::Done(content) => {
            serde_json::from_value(content).map_err(|e| format!("the child's answer: {e}"))
        }
        Ended::Failed(failure) => Err(failure.why),
        Ended::Crashed(why) | Ended::Stopped(why) => Err(why),
    }
}

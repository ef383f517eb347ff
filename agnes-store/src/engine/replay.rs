//! The write-ahead log that the last owner left: replayed by a child before this process touches the database.
//!
//! Always true: two aborts in a row with the same log, also across restarts, quarantine it; a kill, a deadline or a full disk
//! moves nothing.
//!
//! Does not: delete a log, or change one but for zeros in the place of a write that was never finished. The engine deletes one
//! that it has replayed and checkpointed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::attach::{Access, Limits, attach, words};
use super::child::{self, Cause, Ended, Failure, Task};
use super::error::OpenError;
use super::lock::beside;
use super::wal::{Verdict, judge};
use super::{Options, copy, durable, quarantine};
use crate::clock;

/// As many aborts with one log put it aside.
const ABORTS: usize = 2;

/// The logs that the engine may leave beside a database.
const LOGS: [&str; 3] = [".wal", ".wal.checkpoint", ".wal.recovery"];

/// What was tried with a log, kept beside the database across restarts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Of the log.
    pub(crate) wal_sha256: String,
    /// One for each abort.
    pub(crate) aborts: Vec<Abort>,
}

/// An attempt that ended in the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Abort {
    pub(crate) at: String,
    pub(crate) why: String,
}

/// Where the logs of `database` are when they are there, always in one order.
pub(crate) fn beside_all(database: &Path) -> impl Iterator<Item = PathBuf> {
    LOGS.iter().map(|suffix| beside(database, suffix))
}

/// The logs of `database` that hold anything.
pub(crate) fn logs(database: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    for path in beside_all(database) {
        match durable::bytes(&path) {
            Ok(0) => {}
            Ok(_) => found.push(path),
            Err(source) => {
                let operation = "look at the write-ahead log";
                return Err(OpenError::Io {
                    path,
                    operation,
                    source,
                });
            }
        }
    }
    Ok(found)
}

/// Replays what is there, in a child. Says what it did.
pub(crate) fn settle(options: &Options, database: &Path) -> Result<Option<String>, OpenError> {
    let file = beside(database, ".replay.json");
    let io = |operation| {
        let path = file.clone();
        move |source| OpenError::Io {
            path,
            operation,
            source,
        }
    };
    let mut attempts = read(&file);
    for _ in 0..ABORTS {
        let logs = logs(database)?;
        if logs.is_empty() {
            durable::remove(&file).map_err(io("remove"))?;
            return Ok(None);
        }
        let wal_sha256 = identity(&logs)?;
        if attempts.wal_sha256 != wal_sha256 {
            attempts = Attempts {
                wal_sha256,
                ..Attempts::default()
            };
        }
        if attempts.aborts.len() >= ABORTS {
            break;
        }
        let abort = match attempt(options, database, &logs)? {
            Ok(note) => {
                durable::remove(&file).map_err(io("remove"))?;
                return Ok(Some(note));
            }
            Err(why) => Abort {
                at: durable::rfc3339(clock::now()),
                why,
            },
        };
        attempts.aborts.push(abort);
        let json = json!(attempts).to_string();
        durable::write(&file, json.as_bytes()).map_err(io("count the abort"))?;
    }
    let logs = logs(database)?;
    if attempts.aborts.len() < ABORTS || identity(&logs)? != attempts.wal_sha256 {
        return Err(OpenError::Inconclusive {
            path: database.to_owned(),
            why: "the log changed between two attempts that aborted".to_owned(),
        });
    }
    Err(quarantine::put_aside(options, database, &logs, &attempts))
}

/// One child. The inner error is an abort: the engine's, whatever became of the process.
fn attempt(
    options: &Options,
    database: &Path,
    logs: &[PathBuf],
) -> Result<Result<String, String>, OpenError> {
    let bytes = logs.iter().filter_map(|log| durable::bytes(log).ok()).sum();
    let task = Task::Replay(database.to_owned());
    let path = database.to_owned();
    match child::run(options, &task, copy::patience(bytes)) {
        Ended::Done(done) => {
            let unfinished = done
                .get("unfinished_bytes")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            let tail = match unfinished {
                0 => String::new(),
                bytes => {
                    format!("; its last {bytes} bytes were a write that was never acknowledged")
                }
            };
            Ok(Ok(format!(
                "replayed a write-ahead log of {bytes} bytes{tail}"
            )))
        }
        Ended::Crashed(why) => Ok(Err(why)),
        Ended::Failed(failure) => match failure.cause {
            Cause::Log => Ok(Err(failure.why)),
            Cause::Host => Err(OpenError::Inconclusive {
                path,
                why: failure.why,
            }),
            Cause::File => Err(OpenError::Engine {
                path,
                operation: "replay the write-ahead log",
                why: failure.why,
            }),
        },
        Ended::Stopped(why) => Err(OpenError::Inconclusive { path, why }),
    }
}

/// The child's part: opens, checkpoints, closes.
pub(crate) fn perform(file: &Path, limits: Limits) -> Result<Value, Failure> {
    let log = beside(file, LOGS[0]);
    let bytes = match std::fs::read(&log) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|e| Failure::io(&log, "read", &e))?,
    };
    let unfinished_bytes = match judge(&bytes) {
        Verdict::Sound {
            unfinished_bytes, ..
        } => unfinished_bytes,
        Verdict::Unknown => 0,
        Verdict::Broken { at, why } => {
            let why = format!("the write-ahead log is damaged at byte {at}: {why}");
            return Err(Failure::new(Cause::Log, why));
        }
    };
    // the engine takes any other torn end for one, and calls this a wrong checksum
    if unfinished_bytes > 0 && bytes.ends_with(&[0]) {
        durable::cut(&log, bytes.len() as u64 - unfinished_bytes)
            .map_err(|e| Failure::io(&log, "cut the unwritten end off", &e))?;
    }
    drop(bytes);
    if durable::bytes(file).map_err(|e| Failure::io(file, "look at", &e))? == 0 {
        return Err(Failure::new(
            Cause::Host,
            "there is a write-ahead log but no database",
        ));
    }
    let root =
        attach(file, Access::ReadWrite, limits, None).map_err(|why| Failure::engine(&why))?;
    root.execute_batch("FORCE CHECKPOINT agnes; USE memory; DETACH agnes;")
        .map_err(|e| Failure::engine(&words(&e)))?;
    Ok(json!({ "unfinished_bytes": unfinished_bytes }))
}

/// SHA-256 of all logs.
fn identity(logs: &[PathBuf]) -> Result<String, OpenError> {
    let mut hashes = Vec::new();
    for log in logs {
        hashes.push(copy::sha256(log).map_err(|source| OpenError::Io {
            path: log.clone(),
            operation: "read the write-ahead log",
            source,
        })?);
    }
    Ok(hashes.join("+"))
}

/// A file that is not there or that a power cut left behind counts nothing.
fn read(file: &Path) -> Attempts {
    std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

//! A copy of the whole database while it is served.
//!
//! Always true: writes pause while the write-ahead log is folded in and the bytes are copied by a child, never longer; the disk
//! is waited for, and what is in the copy is counted and hashed, afterwards, from the copy; it is published by one rename or not at all.
//!
//! Does not: keep, prune or restore copies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::engine::content::Table;
use crate::engine::copy::{copy_bytes, seal};
use crate::engine::{durable, prove};
use crate::{DATABASE, Error, Options, Result, Store, clock};

/// A published copy.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Where the copy is.
    pub path: PathBuf,
    /// When writes went on, RFC 3339.
    pub at: String,
    /// Of the copy, lower-case hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its schema's version.
    pub schema: u32,
    /// The engine's own version, such as `v1.5.6`.
    pub engine: String,
    /// Rows and order-free content hash of each table.
    pub tables: BTreeMap<String, Table>,
    /// How long writes waited, in milliseconds.
    pub pause_ms: u64,
}

impl Store {
    /// Copies the database into the directory `dir`, which must not exist; its parent is made when only that is missing.
    /// One at a time, each to its end: what an earlier one left unfinished is removed.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Engine`] when the copy cannot be made or does not prove: nothing is left of it then.
    pub async fn snapshot(&self, dir: &Path) -> Result<Snapshot> {
        if dir.exists() {
            return Err(Error::Exists("snapshot"));
        }
        let failed =
            |path: &Path, e: std::io::Error| Error::told(format!("{}: {e}", path.display()));
        let parent = dir.parent().unwrap_or(dir);
        durable::directory(parent).map_err(|e| failed(parent, e))?;
        let mut part = dir.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        sweep(parent);
        clear(&part).map_err(|e| failed(&part, e))?;
        durable::directory(&part).map_err(|e| failed(&part, e))?;
        let made = self.copy_into(&part).await;
        let published = match made {
            Ok(made) => durable::rename(&part, dir)
                .map(|()| made)
                .map_err(|e| failed(dir, e)),
            Err(why) => Err(why),
        };
        match published {
            Ok(snapshot) => Ok(Snapshot {
                path: dir.join(DATABASE),
                ..snapshot
            }),
            Err(why) => {
                let _ = clear(&part);
                Err(why)
            }
        }
    }

    async fn copy_into(&self, dir: &Path) -> Result<Snapshot> {
        let (from, to) = (self.engine.path().to_owned(), dir.join(DATABASE));
        let (options, target) = (self.options.clone(), to.clone());
        let pause_ms: u64 = self
            .writer
            .alone(move |state| {
                let began = Instant::now();
                state.checkpoint()?;
                // the copy is of the file alone: nothing may be left outside of it
                let left = durable::bytes(&state.log());
                if !matches!(left, Ok(0)) {
                    return Err(Error::Engine(format!(
                        "snapshot: the write-ahead log is not empty after a checkpoint: {left:?}"
                    )));
                }
                copy_bytes(&options, &from, &target).map_err(Error::told)?;
                Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
            })
            .await?;
        let at = durable::rfc3339(clock::now());
        let (copied, content) = tokio::join!(self.apart(&to, seal), self.apart(&to, prove),);
        let (copied, content) = (copied?, content?);
        Ok(Snapshot {
            path: to,
            at,
            sha256: copied.sha256,
            bytes: copied.bytes,
            schema: content.schema,
            engine: content.engine,
            tables: content.tables,
            pause_ms,
        })
    }

    /// Work of a child on the copy, which is waited for elsewhere.
    async fn apart<T: Send + 'static>(
        &self,
        copy: &Path,
        work: impl FnOnce(&Options, &Path) -> std::result::Result<T, String> + Send + 'static,
    ) -> Result<T> {
        let (options, file) = (self.options.clone(), copy.to_owned());
        tokio::task::spawn_blocking(move || work(&options, &file))
            .await
            .map_err(|crash| Error::Engine(format!("{}: {crash}", copy.display())))?
            .map_err(Error::told)
    }
}

/// Removes what a kill left unfinished under other names, as far as it is ours: no snapshot's name ends in `.part`.
fn sweep(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let unfinished = path.extension().is_some_and(|e| e == "part") && path.is_dir();
        if unfinished && let Err(e) = clear(&path) {
            tracing::warn!("{}: {e}; it stays", path.display());
        }
    }
}

/// Removes one unfinished copy: a file in a directory of its own.
fn clear(part: &Path) -> std::io::Result<()> {
    durable::remove(&part.join(DATABASE))?;
    match std::fs::remove_dir(part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

//! The hold: while it is there no caller's act is written; the canary and the server's own audit rows are.
//!
//! Always true: the hold is a file, so that a server that starts finds it and starts held; it never expires by itself. It is
//! taken and released in the writer's own order: what was accepted before is durable, what comes after is refused.
//!
//! Does not: decide who may hold.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One line that names the object.
type Result<T> = std::result::Result<T, String>;

/// Who holds writes, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Chosen by the holder; the same id releases it.
    pub id: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// A word or two for people: `agnes-ops upgrade`.
    pub by: String,
}

/// `$DATA_DIR/run/hold.json`.
#[derive(Debug)]
pub(crate) struct HoldFile {
    path: PathBuf,
}

impl HoldFile {
    /// In `run_dir`, which is made when only it is missing.
    pub(crate) fn in_dir(run_dir: &Path) -> Result<Self> {
        match DirBuilder::new().mode(0o700).create(run_dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(run_dir, &e));
            }
            _ => {}
        }
        Ok(Self {
            path: run_dir.join("hold.json"),
        })
    }

    /// The hold that is in force. A file that does not parse holds too: somebody meant to.
    pub(crate) fn read(&self) -> Result<Option<Hold>> {
        let bytes = match std::fs::read(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&self.path, &e)),
            Ok(bytes) => bytes,
        };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            Hold {
                id: String::new(),
                since: String::new(),
                by: format!("an unreadable {}", self.path.display()),
            }
        })))
    }

    /// Makes the hold durable; after an error there is none.
    pub(crate) fn write(&self, hold: &Hold) -> Result<()> {
        let part = self.path.with_extension("json.part");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&part)?;
            serde_json::to_writer(&mut file, hold)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            put_in_place(&part, &self.path)?;
            self.sync_dir()
        };
        write().map_err(|e: std::io::Error| {
            // a hold that was refused must not be found by the next start, whole or in part
            let _ = std::fs::remove_file(&part);
            let _ = self.remove();
            failed(&self.path, &e)
        })
    }

    /// Ends the hold durably.
    pub(crate) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(&self.path, &e)),
            _ => self.sync_dir().map_err(|e| failed(&self.path, &e)),
        }
    }

    fn sync_dir(&self) -> std::io::Result<()> {
        self.path
            .parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "fsync of file and directory stand around it"
)]
fn put_in_place(part: &Path, whole: &Path) -> std::io::Result<()> {
    std::fs::rename(part, whole)
}

fn failed(path: &Path, e: &std::io::Error) -> String {
    format!("{}: {e}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_that_cannot_be_made_durable_is_not_found_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let file = HoldFile::in_dir(dir.path()).unwrap();
        let hold = Hold {
            id: "u".to_owned(),
            since: String::new(),
            by: String::new(),
        };
        let in_the_way = dir.path().join("hold.json.part");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(file.write(&hold).is_err());
        assert_eq!(file.read().unwrap(), None);
        std::fs::remove_dir(&in_the_way).unwrap();
        file.write(&hold).unwrap();
        assert_eq!(file.read().unwrap(), Some(hold));
    }
}

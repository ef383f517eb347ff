//! The bytes of the database, copied by a child.
//!
//! Always true: the owner never opens its own file (closing any descriptor of it would drop the engine's lock, S12); a copy
//! that is reported is on the disk, file and directory, and is what was asked for: nothing is overwritten.
//!
//! Does not: pause the writer or checkpoint: who calls has done so.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Options;
use super::child::{self, Ended, Failure, Task};
use super::durable;
use crate::hex;

/// A finished copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Of the copy, read back; lower-case hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// Copies `from`, which nobody may be writing, to `to`, which must not exist; by reflink where the file system can.
///
/// # Errors
/// One line; whatever was written of `to` is removed.
pub fn copy(options: &Options, from: &Path, to: &Path) -> Result<Copied, String> {
    let bytes = durable::bytes(from).map_err(|e| format!("{}: {e}", from.display()))?;
    if to.exists() {
        return Err(format!("{}: it exists; it was not touched", to.display()));
    }
    let task = Task::Copy(from.to_owned(), to.to_owned());
    let why = match child::run(options, &task, patience(bytes)) {
        Ended::Done(copied) => {
            return serde_json::from_value(copied).map_err(|e| format!("the child's answer: {e}"));
        }
        Ended::Failed(failure) => failure.why,
        Ended::Crashed(why) | Ended::Stopped(why) => {
            // it did not get to clean up
            let _ = durable::remove(to);
            why
        }
    };
    Err(why)
}

/// Two minutes, and a second for every MiB: a slow disk is no reason to give up.
pub(crate) fn patience(bytes: u64) -> Duration {
    Duration::from_secs(120 + (bytes >> 20))
}

/// The child's part of [`copy`].
pub(crate) fn perform(from: &Path, to: &Path) -> Result<Value, Failure> {
    let failed = |path: &Path, operation: &str| {
        let (path, operation) = (path.to_owned(), operation.to_owned());
        move |e: std::io::Error| Failure::io(&path, &operation, &e)
    };
    let mut source = File::open(from).map_err(failed(from, "open"))?;
    let mut target = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed(to, "create"))?;
    let copied = (|| {
        // copy_file_range underneath: XFS and btrfs share the blocks instead of copying them
        let bytes = std::io::copy(&mut source, &mut target).map_err(failed(to, "copy"))?;
        target.sync_all().map_err(failed(to, "sync"))?;
        durable::sync_parent(to).map_err(failed(to, "sync the directory"))?;
        let sha256 = sha256(to).map_err(failed(to, "read back"))?;
        Ok(Copied { sha256, bytes })
    })();
    if copied.is_err() {
        let _ = durable::remove(to);
    }
    copied.map(|copied| serde_json::json!(copied))
}

/// SHA-256 of a file, lower-case hex. Never of a database that this process has open.
pub(crate) fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(hex::encode(digest.finish().as_ref())),
            Some(bytes) => digest.update(bytes),
        }
    }
}

//! The bytes of the database, copied by a child.
//!
//! Always true: the owner never opens its own file (closing any descriptor of it would drop the engine's lock, S12); a copy
//! that is reported is on the disk, file and directory, and is what was asked for: nothing is overwritten. Only the bytes
//! themselves are copied while nobody may write; the disk is waited for afterwards.
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
    copy_bytes(options, from, to)?;
    seal(options, to)
}

/// The part of [`copy`] for which nobody may be writing `from`. The copy does not count before [`seal`].
///
/// # Errors
/// As [`copy`].
pub(crate) fn copy_bytes(options: &Options, from: &Path, to: &Path) -> Result<(), String> {
    let bytes = durable::bytes(from).map_err(|e| format!("{}: {e}", from.display()))?;
    if to.exists() {
        return Err(format!("{}: it exists; it was not touched", to.display()));
    }
    let task = Task::Copy(from.to_owned(), to.to_owned());
    run(options, &task, to, bytes).map(drop)
}

/// Puts a copy onto the disk and reads it back.
///
/// # Errors
/// As [`copy`].
pub(crate) fn seal(options: &Options, copy: &Path) -> Result<Copied, String> {
    let bytes = durable::bytes(copy).map_err(|e| format!("{}: {e}", copy.display()))?;
    let copied = run(options, &Task::Seal(copy.to_owned()), copy, bytes)?;
    serde_json::from_value(copied).map_err(|e| format!("the child's answer: {e}"))
}

/// On a failure nothing is left of the copy `to`.
fn run(options: &Options, task: &Task, to: &Path, bytes: u64) -> Result<Value, String> {
    match child::run(options, task, patience(bytes)) {
        Ended::Done(done) => Ok(done),
        Ended::Failed(failure) => Err(failure.why),
        Ended::Crashed(why) | Ended::Stopped(why) => {
            // it did not get to clean up
            let _ = durable::remove(to);
            Err(why)
        }
    }
}

/// Two minutes, and a second for every MiB: a slow disk is no reason to give up.
pub(crate) fn patience(bytes: u64) -> Duration {
    Duration::from_secs(120 + (bytes >> 20))
}

/// The child's part of [`copy_bytes`].
pub(crate) fn perform(from: &Path, to: &Path) -> Result<Value, Failure> {
    let mut source = File::open(from).map_err(|e| Failure::io(from, "open", &e))?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|e| Failure::io(to, "create", &e))?;
    // copy_file_range underneath: XFS and btrfs share the blocks instead of copying them
    let copied = std::io::copy(&mut source, &mut target);
    whole(to, copied.map_err(|e| Failure::io(to, "copy", &e)))
}

/// The child's part of [`seal`].
pub(crate) fn perform_seal(copy: &Path) -> Result<Value, Failure> {
    let failed = |operation: &'static str| move |e| Failure::io(copy, operation, &e);
    let sealed = (|| {
        let file = File::open(copy).map_err(failed("open"))?;
        file.sync_all().map_err(failed("sync"))?;
        durable::sync_parent(copy).map_err(failed("sync the directory"))?;
        let bytes = file.metadata().map_err(failed("look at"))?.len();
        let sha256 = sha256(copy).map_err(failed("read back"))?;
        Ok(Copied { sha256, bytes })
    })();
    whole(copy, sealed)
}

/// A copy that failed is removed.
fn whole<T: Serialize>(copy: &Path, done: Result<T, Failure>) -> Result<Value, Failure> {
    if done.is_err() {
        let _ = durable::remove(copy);
    }
    done.map(|done| serde_json::json!(done))
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

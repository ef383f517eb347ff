//! Whether the disk takes what is going to be written.
//!
//! Always true: it is tried, not computed, as far as that costs little: a file is written, synced and removed again, which
//! also finds a file system that went read-only, a quota and a disk that fails; only how much is free is asked.
//!
//! Does not: reserve anything: another program may take the room a moment later.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::durable;

/// Of a trial's file, behind who tries: the store's probe and its checkpoint, each one at a time.
const TRIAL: &str = "trial.tmp";

/// Bytes of a trial: more than the log grows by with a usual act.
const TRIAL_BYTES: usize = 16 << 10;

/// What a checkpoint may write beyond the log's own content: the last rows of every table are written again, in blocks of
/// 256 KiB, before the old ones are free.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// What a replay may write beyond the log's own content.
const REPLAY_BYTES: u64 = 1 << 20;

/// The most of the file that a checkpoint is expected to rewrite, beyond what is in the log.
const REWRITTEN_BYTES: u64 = 64 << 20;

/// Writes, syncs and removes a small file in `directory`.
pub(crate) fn trial(directory: &Path, name: &str) -> io::Result<()> {
    let path = directory.join(format!("{name}-{TRIAL}"));
    let tried = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&[0x5a; TRIAL_BYTES])?;
            file.sync_all()
        });
    // not synced: one that comes back after a power cut is written over
    let removed = std::fs::remove_file(&path);
    tried.and(removed)
}

/// As [`trial`], and looks whether a checkpoint of `database` with its `log` fits: one that fails half-way costs the
/// database, for the engine gives it up.
pub(crate) fn for_checkpoint(directory: &Path, database: &Path, log: &Path) -> io::Result<()> {
    let rewritten = durable::bytes(database)?.min(REWRITTEN_BYTES);
    has(
        directory,
        CHECKPOINT_BYTES + 2 * durable::bytes(log)? + rewritten,
    )
}

/// As [`trial`], and looks whether a replay of `logs` fits. Less than for a checkpoint: a child does it, and one that fails
/// costs nothing; but it may leave a mark at the end of the log.
pub(crate) fn for_replay(directory: &Path, logs: &[PathBuf]) -> io::Result<()> {
    let mut bytes = REPLAY_BYTES;
    for log in logs {
        bytes += durable::bytes(log)?;
    }
    has(directory, bytes)
}

fn has(directory: &Path, wanted: u64) -> io::Result<()> {
    trial(directory, "checkpoint")?;
    let disk = statvfs(directory)?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if free >= wanted {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!("no space left for it: {free} bytes are free, {wanted} may be needed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_and_a_directory_that_takes_nothing_fails_it() {
        let dir = tempfile::tempdir().unwrap();
        trial(dir.path(), "a").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(trial(&dir.path().join("absent"), "a").is_err());
        assert!(trial(Path::new("/proc/self"), "a").is_err());
    }
}

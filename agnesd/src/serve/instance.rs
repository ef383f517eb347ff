//! One `agnesd` for each state directory, findable by its pid file.
//!
//! Always true: the lock is held by an open file and dies with the process, however it dies; the pid file is complete when
//! it is there, and is removed only while it still names us.
//!
//! Does not: create anything above the state directory: a missing parent is a disk that is not mounted (B02).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::Failed;

/// Our claim to a state directory, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Instance {
    pid_file: PathBuf,
    _lock: Flock<File>,
}

impl Instance {
    /// Locks `state_dir`, making it first when only it is missing.
    ///
    /// # Errors
    /// [`Failed`] when another process holds it or it cannot be used.
    pub(crate) fn claim(state_dir: &Path) -> Result<Self, Failed> {
        make(state_dir)?;
        let path = state_dir.join("agnesd.lock");
        let failed = |e: std::io::Error| {
            Failed::new(format!("{}: {e}; nothing was started", path.display()))
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut lock = match Flock::lock(file.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => return Err(taken(state_dir, file)),
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        // for the message of whoever comes second; the lock itself is what counts
        let pid = format!("{}\n", std::process::id());
        lock.write_all(pid.as_bytes())
            .and_then(|()| lock.set_len(pid.len() as u64))
            .map_err(failed)?;
        let pid_file = state_dir.join("agnesd.pid");
        // we hold the lock, so one that is there names a process that was killed, or by now a stranger
        let _ = std::fs::remove_file(&pid_file);
        Ok(Self {
            pid_file,
            _lock: lock,
        })
    }

    /// Writes the pid file: from now on signals to it are understood.
    ///
    /// # Errors
    /// [`Failed`] when it cannot be written; `agnes-ops` could not reach us then.
    pub(crate) fn publish(&self) -> Result<(), Failed> {
        let part = self.pid_file.with_extension("pid.part");
        let failed = |e: std::io::Error| {
            Failed::new(format!(
                "{}: {e}; nothing was started",
                self.pid_file.display()
            ))
        };
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o644)
                .open(&part)?;
            writeln!(file, "{}", std::process::id())?;
            put_in_place(&part, &self.pid_file)
        };
        write().map_err(|e| {
            let _ = std::fs::remove_file(&part);
            failed(e)
        })
    }

    /// Removes the pid file, if it is still ours.
    pub(crate) fn retire(&self) {
        let ours = std::fs::read_to_string(&self.pid_file)
            .is_ok_and(|pid| pid.trim() == std::process::id().to_string());
        if ours && let Err(e) = std::fs::remove_file(&self.pid_file) {
            tracing::warn!(
                "{}: {e}; it still names this process",
                self.pid_file.display()
            );
        }
    }
}

/// A pid means nothing after a power cut: atomic is wanted here, durable is not.
#[expect(
    clippy::disallowed_methods,
    reason = "the pid file is the one file that agnesd renames; see the comment above"
)]
fn put_in_place(part: &Path, whole: &Path) -> std::io::Result<()> {
    std::fs::rename(part, whole)
}

fn make(state_dir: &Path) -> Result<(), Failed> {
    if state_dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .mode(0o755)
        .create(state_dir)
        .map_err(|e| {
            Failed::with_hint(
                format!(
                    "STATE_DIR {}: make the directory: {e}; nothing was started",
                    state_dir.display()
                ),
                "mount the data disk, or set DATA_DIR or STATE_DIR to a directory that exists",
            )
        })
}

fn taken(state_dir: &Path, mut file: File) -> Failed {
    let mut pid = String::new();
    let _ = file.read_to_string(&mut pid);
    let who = pid
        .trim()
        .parse::<u32>()
        .map(|pid| format!(" (pid {pid})"))
        .unwrap_or_default();
    Failed::with_hint(
        format!(
            "STATE_DIR {}: in use by another agnesd{who}; nothing was started",
            state_dir.display()
        ),
        "stop that one first, or give this one a STATE_DIR of its own",
    )
}

//! One owner for a database: an flock beside it, held for life.
//!
//! Always true: it dies with the process, however that dies; whoever comes second is told the pid, unless the disk had no room
//! for it.
//!
//! Does not: rely on the engine's own lock, which is lost when its owner opens and closes the file outside it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::OpenError;

/// The claim to one database file.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes `<database>.lock`.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let failed = |source| OpenError::Io {
            path: path.clone(),
            operation: "lock",
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(OpenError::Locked {
                    path: database.to_owned(),
                    pid: pid.trim().parse().ok(),
                });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        let pid = format!("{}\n", std::process::id());
        // written over before it is cut: on a full disk the block that is there serves again. The lock is what counts
        let named = held
            .write_all(pid.as_bytes())
            .and_then(|()| held.set_len(pid.len() as u64));
        if let Err(e) = named {
            tracing::warn!("{}: {e}; it names nobody", path.display());
        }
        Ok(Self { _held: held })
    }
}

/// `system.duckdb` and `.wal` → `system.duckdb.wal`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

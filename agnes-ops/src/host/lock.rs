//! The deployment's lock: one changing command at a time.
//!
//! Always true: the kernel holds it (flock), so it dies with its holder; the file names the holder for people.
//!
//! Does not: wait. Who finds it held is told by whom, and defers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Host;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Another run holds it.
#[derive(Debug)]
pub enum Held {
    /// By this one: `agnes-ops tls rotate (pid 4711, since 2026-01-31T03:00:00Z)`.
    By(String),
    /// The lock file itself cannot be used.
    Unusable(io::Error),
}

impl Host {
    /// Takes the lock file, or says who has it.
    pub fn lock(&self, path: &Path, command: &str) -> Result<Lock, Held> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(Held::Unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(Held::By(if holder.is_empty() {
                    "another run".into()
                } else {
                    holder.to_owned()
                }));
            }
            Err(TryLockError::Error(error)) => return Err(Held::Unusable(error)),
        }
        let since = self
            .now()
            .replace_nanosecond(0)
            .unwrap_or_else(|_| self.now());
        let since = since
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap_or_default();
        let named = (|| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(
                file,
                "agnes-ops {command} (pid {}, since {since})",
                std::process::id()
            )
        })();
        // A full disk must not keep a rotation from running: the name is a courtesy, the flock is the lock.
        if let Err(error) = named {
            tracing::debug!("{}: holder not written: {error}", path.display());
        }
        Ok(Lock { _file: file })
    }
}

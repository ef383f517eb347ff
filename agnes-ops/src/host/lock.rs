//! The deployment's lock: one changing command at a time.
//!
//! Always true: the kernel holds it (flock), so it dies with its holder; the file names the holder for people.
//!
//! Does not: wait. Who finds it held is told by whom, and defers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

use super::Host;
use super::files::regular;

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
    /// Takes the lock file, or says who has it. What is no regular file of its own is not opened, nor written through.
    pub fn lock(&self, path: &Path, command: &str) -> Result<Lock, Held> {
        let mut file = open(path).map_err(Held::Unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Held::By(holder(&mut file)));
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

    /// Does a process hold a lock on this file, and what does the file say of it? `None`: nobody holds it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is no regular file.
    pub fn lock_holder(&self, path: &Path) -> io::Result<Option<String>> {
        let opened = regular_or_absent(path).and_then(|()| options(false).open(path));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // shared, and given back at once: two that look at the same time must not take each other for the holder
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn options(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(write)
        .create(write)
        .truncate(false)
        .mode(0o644)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits());
    options
}

fn open(path: &Path) -> io::Result<File> {
    regular_or_absent(path)?;
    let file = options(true).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn regular_or_absent(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => regular(&metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the holder wrote, as one short line that a terminal may be shown.
fn holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(256).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    match line.trim() {
        "" => "another run".into(),
        line if is_gone(line) => {
            format!("a process that is none of ours; the last of ours was {line}")
        }
        line => line.to_owned(),
    }
}

/// Whether the run that a line names has ended: whoever holds the lock then is somebody else.
fn is_gone(line: &str) -> bool {
    let named = line
        .split_once("(pid ")
        .and_then(|(_, rest)| rest.split_once(','));
    let pid = named.and_then(|(pid, _)| pid.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_lock_s_place_is_not_written_through() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let (target, lock) = (dir.path().join("precious"), dir.path().join(".lock"));
        std::fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &lock).unwrap();
        let Err(Held::Unusable(error)) = host.lock(&lock, "up") else {
            panic!("the link was taken for the lock");
        };
        assert_eq!(error.to_string(), "a symbolic link, not a regular file");
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
    }

    #[test]
    fn a_holder_s_name_cannot_forge_a_line_and_a_look_does_not_hold() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        assert!(host.lock_holder(&path).unwrap().is_none());
        std::fs::write(&path, "me\u{1b}[31m\nhint: rm -rf /\n").unwrap();
        assert!(host.lock_holder(&path).unwrap().is_none());
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert_eq!(host.lock_holder(&path).unwrap().unwrap(), "me[31m");
        let Err(Held::By(holder)) = host.lock(&path, "up") else {
            panic!("not held");
        };
        assert_eq!(holder, "me[31m");
        // a stranger holds it, and the file still names the last of us
        std::fs::write(
            &path,
            "agnes-ops up (pid 4194305, since 2026-01-31T03:00:00Z)\n",
        )
        .unwrap();
        let stranger = host.lock_holder(&path).unwrap().unwrap();
        assert!(
            stranger
                .starts_with("a process that is none of ours; the last of ours was agnes-ops up"),
            "{stranger}"
        );
        drop(held);
        assert!(host.lock(&path, "up").is_ok());
    }
}

//! Half-made files and links: made beside their name, given it when they are whole, swept when their maker died.
//!
//! Always true: a file is its maker's lock (flock) until it has its name, so that no other run takes it for a dead one's leftover.
//!
//! Does not: lock links: only runs that hold the deployment's lock make them, and sweep where they are.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::Host;

/// What their names end with.
const SUFFIX: &str = ".agnes-tmp";

/// Whether this is the name of one.
pub(super) fn is_one(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// A name beside `path` that no other process uses.
pub(super) fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut half = OsString::from(".");
    half.push(name);
    half.push(format!(".{}{SUFFIX}", std::process::id()));
    Ok(path.with_file_name(half))
}

/// A new file under `half`, this process's until it is closed.
pub(super) fn file(half: &Path, mode: u32) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let file = match options.write(true).create_new(true).mode(mode).open(half) {
            Ok(file) => file,
            // of an earlier process that had our pid; or a sweep has it, and is about to remove it
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_nobody_s(half)?;
                std::thread::yield_now();
                continue;
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) if is_at(half, &file)? => return Ok(file),
            // a sweep came between
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether this file is the one of that name.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a half-made file that has no maker any more. A name is only taken from a file by whoever has its lock: so what is removed is the
/// file that was looked at, and never one that was made in its place meanwhile.
fn remove_nobody_s(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {}
        // a link is nobody's: only runs that hold the deployment's lock make them
        Ok(_) => return gone(fs::remove_file(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) if is_at(path, &file)? => gone(fs::remove_file(path)),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A new link under `half`, in place of a leftover of an earlier process that had our pid.
pub(super) fn link(half: &Path, target: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, half) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            gone(fs::remove_file(half))?;
            std::os::unix::fs::symlink(target, half)
        }
        made => made,
    }
}

/// Two may remove the same.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Host {
    /// Removes what killed runs left half made in this directory; what a living one makes stays.
    pub fn sweep(&self, directory: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if !is_one(&entry.file_name().to_string_lossy()) {
                continue;
            }
            remove_nobody_s(&entry.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_living_one_makes_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (made, left) = (
            dir.path().join(".a.1.agnes-tmp"),
            dir.path().join(".b.1.agnes-tmp"),
        );
        let whole = dir.path().join("c");
        let maker = file(&made, 0o600).unwrap();
        for path in [&left, &whole] {
            fs::write(path, "").unwrap();
        }
        Host::of_tests().sweep(dir.path()).unwrap();
        assert!(made.exists() && !left.exists() && whole.exists());
        drop(maker);
        Host::of_tests().sweep(dir.path()).unwrap();
        assert!(!made.exists() && whole.exists());
    }

    #[test]
    fn files_that_are_made_while_others_sweep_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        Host::of_tests().sweep(dir.path()).unwrap();
                    }
                });
            }
            let made = (0..2000).try_for_each(|number| {
                let path = dir.path().join(number.to_string());
                let half = beside(&path)?;
                let maker = file(&half, 0o600)?;
                fs::rename(half, &path)?;
                drop(maker);
                Ok::<_, io::Error>(())
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            made.unwrap();
        });
    }

    #[test]
    fn a_leftover_of_a_killed_process_with_our_number_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(beside(&path).unwrap(), "half").unwrap();
        Host::of_tests()
            .install(&path, b"whole", 0o644, None)
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let link = dir.path().join("link");
        fs::write(beside(&link).unwrap(), "half").unwrap();
        Host::of_tests().link(Path::new("file"), &link).unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"whole");
    }
}

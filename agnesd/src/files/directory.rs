//! The directory that files lie in, held open.
//!
//! Always true: everything in it is reached from the open directory by one name and no link is followed, so nothing outside of
//! it can be meant. What is reported as done is on the disk.
//!
//! Does not: know which names there are, or what they mean.

use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// Left free for the database that is on the same disk: this much, or the twentieth part of a small disk.
const RESERVE: u64 = 512 << 20;

const PRIVATE: Mode = Mode::from_bits_truncate(0o600);

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
    way: Way,
}

/// How a file comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Without a name until it is whole: the kernel forgets it with its last descriptor, however this process ends.
    Nameless,
    /// By a name, on file systems that know no other: what a kill leaves, the next start removes.
    Named,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) file: File,
    /// Its name, if it has one.
    pub(super) name: Option<String>,
}

impl Directory {
    /// Opens it, making it first when it is missing.
    ///
    /// # Errors
    /// When that cannot be done, or `path` is a link.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(path, flags | OFlag::O_RDONLY, Mode::empty())?;
        let mut directory = Self {
            path: path.to_owned(),
            fd,
            way: Way::Nameless,
        };
        // given a name by way of /proc
        if directory.nameless().is_err() || !Path::new("/proc/self/fd").is_dir() {
            directory.way = Way::Named;
        }
        Ok(directory)
    }

    #[cfg(test)]
    pub(super) fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it, in no order. Names that are no UTF-8 are not ours.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    /// A new file.
    pub(super) fn begin(&self) -> Result<Begun> {
        if self.way == Way::Nameless {
            let file = self.nameless()?;
            return Ok(Begun { file, name: None });
        }
        let name = super::name::part();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.fd, name.as_str(), flags, PRIVATE)?);
        Ok(Begun {
            file,
            name: Some(name),
        })
    }

    fn nameless(&self) -> Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.fd, ".", flags, PRIVATE)?))
    }

    /// Gives a file its name, durably.
    pub(super) fn put(&self, begun: &mut Begun, name: &str) -> Result<()> {
        match begun.name.take() {
            None => {
                let by = format!("/proc/self/fd/{}", begun.file.as_raw_fd());
                let flag = AtFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, by.as_str(), &self.fd, name, flag)?;
            }
            Some(part) => {
                let moved = renameat(&self.fd, part.as_str(), &self.fd, name);
                if let Err(e) = moved {
                    begun.name = Some(part);
                    return Err(e.into());
                }
            }
        }
        self.sync()
    }

    /// An empty file of this name, durably.
    pub(super) fn mark(&self, name: &str) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(&self.fd, name, flags, PRIVATE)?;
        self.sync()
    }

    /// Renames, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        renameat(&self.fd, from, &self.fd, to)?;
        self.sync()
    }

    /// Removes what is there under this name; durable after [`Directory::sync`].
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a file to read it, and says how long it is.
    pub(super) fn read(&self, name: &str) -> Result<(File, u64)> {
        // a fifo would be waited for
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        let seen = file.metadata()?;
        if !seen.is_file() {
            return Err(Error::other("is no regular file"));
        }
        Ok((file, seen.len()))
    }

    /// # Errors
    /// As a full disk is one, when `bytes` more would reach into what is left free for the database.
    pub(super) fn has_room(&self, bytes: u64) -> Result<()> {
        let disk = fstatvfs(&self.fd)?;
        let unit = disk.fragment_size();
        let reserve = RESERVE.min(disk.blocks().saturating_mul(unit) / 20);
        let free = disk.blocks_available().saturating_mul(unit);
        if free < bytes.saturating_add(reserve) {
            return Err(Errno::ENOSPC.into());
        }
        Ok(())
    }

    /// What was done in it is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(nix::unistd::fsync(&self.fd)?)
    }
}

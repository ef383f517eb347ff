//! Files: read what is there, install what shall be there.
//!
//! Always true: `install` is temp in the same directory with mode and owner set first → fsync → rename → fsync of the
//! directory; links are replaced by rename, never removed first; nothing is deleted recursively by pattern.
//!
//! Does not: follow a symbolic link out of the directory it was asked to delete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use agnes_config::FileOwner;
use nix::fcntl::OFlag;

use super::{Host, half_made};

/// Why a file was not installed.
#[derive(Debug)]
pub struct InstallError {
    /// The object.
    pub path: PathBuf,
    /// The step that failed: `create`, `write`, `rename`…
    pub operation: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

impl InstallError {
    /// What makes an error of what the kernel said about `path` at this step.
    pub(super) fn at(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            path: path.to_owned(),
            operation,
            source,
        }
    }
}

impl std::fmt::Display for InstallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.operation)
    }
}

impl std::error::Error for InstallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What stands under a name, not following a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
    },
    /// A directory.
    Directory,
    /// A symbolic link and what it says.
    Link(PathBuf),
    /// A device, a socket, a fifo.
    Other,
}

/// The largest file that is read whole, in bytes: many times what any file of a deployment holds.
const MAX_READ: u64 = 16 << 20;

impl Host {
    /// The file's bytes; `None` when there is no such file (absent is not unreadable).
    ///
    /// # Errors
    /// Also for what is not a regular file (it is not opened) and for more than 16 MiB.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = open_regular(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_READ + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_READ) {
            return Ok(Some(bytes));
        }
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {} MiB", MAX_READ >> 20),
        ))
    }

    /// The last bytes of a file that may be of any length, a log; `None` when there is no such file.
    ///
    /// # Errors
    /// Also for what is not a regular file.
    pub fn read_end(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = open_regular(path)? else {
            return Ok(None);
        };
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// What stands under this name.
    pub fn entry(&self, path: &Path) -> io::Result<Entry> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::Absent),
            Err(error) => return Err(error),
        };
        let kind = metadata.file_type();
        Ok(if kind.is_symlink() {
            Entry::Link(fs::read_link(path)?)
        } else if kind.is_dir() {
            Entry::Directory
        } else if kind.is_file() {
            Entry::File {
                mode: metadata.mode() & 0o7777,
                uid: metadata.uid(),
            }
        } else {
            Entry::Other
        })
    }

    /// The names in a directory, sorted; empty when there is no such directory. Half-made files are left out.
    pub fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string()
                && !half_made::is_one(&name)
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// When the file was last modified, in seconds since 1970.
    pub fn modified_secs(&self, path: &Path) -> io::Result<i64> {
        Ok(fs::metadata(path)?.mtime())
    }

    /// Makes the file be exactly these bytes with this mode and owner, durably.
    pub fn install(
        &self,
        path: &Path,
        bytes: &[u8],
        mode: u32,
        owner: Option<FileOwner>,
    ) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        let temp = half_made::beside(path).map_err(at("install under this name"))?;
        self.checkpoint(&format!("before writing {}", path.display()));
        let written = (|| {
            let mut file = half_made::file(&temp, mode).map_err(at("create a file beside"))?;
            file.set_permissions(fs::Permissions::from_mode(mode))
                .map_err(at("set the mode"))?;
            if let Some(owner) = owner {
                std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))
                    .map_err(at("set the owner"))?;
            }
            file.write_all(bytes).map_err(at("write"))?;
            self.checkpoint(&format!("written, not synced {}", path.display()));
            file.sync_all().map_err(at("fsync"))
        })();
        let renamed = written.and_then(|()| {
            self.checkpoint(&format!("before renaming {}", path.display()));
            self.rename(&temp, path).map_err(at("rename"))
        });
        if renamed.is_err() {
            let _ = fs::remove_file(&temp);
        }
        renamed?;
        self.checkpoint(&format!("after renaming {}", path.display()));
        sync_parent(path).map_err(at("fsync the directory of"))
    }

    /// Makes the name a symbolic link that says `target`, replacing what is there in one step. Unchanged: no write.
    pub fn link(&self, target: &Path, path: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        if self.entry(path).map_err(at("look at"))? == Entry::Link(target.to_owned()) {
            return Ok(());
        }
        let temp = half_made::beside(path).map_err(at("link under this name"))?;
        self.checkpoint(&format!("before linking {}", path.display()));
        half_made::link(&temp, target).map_err(at("link beside"))?;
        self.checkpoint(&format!("link made beside {}", path.display()));
        if let Err(error) = self.rename(&temp, path) {
            let _ = fs::remove_file(&temp);
            return Err(at("rename")(error));
        }
        self.checkpoint(&format!("after linking {}", path.display()));
        sync_parent(path).map_err(at("fsync the directory of"))
    }

    /// Makes the directory and its missing parents with mode 0755.
    pub fn make_dir(&self, path: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            self.make_dir(parent)?;
        }
        self.checkpoint(&format!("before making {}", path.display()));
        match fs::DirBuilder::new().mode(0o755).create(path) {
            Ok(()) => {
                // the umask may have taken bits away
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                    .map_err(at("set the mode"))?;
                sync_parent(path).map_err(at("fsync the directory of"))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(at("make the directory")(error)),
        }
    }

    /// Sets the permission bits of a file that is `within` a directory, whatever links lead to it; what is elsewhere, or has another name too, is
    /// left: whoever may write there could mean any file. `true`: they were others.
    ///
    /// # Errors
    /// When the host refuses, or the file is no such one.
    pub fn set_mode(&self, path: &Path, within: &Path, mode: u32) -> io::Result<bool> {
        let real = fs::canonicalize(path)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(&real)?;
        let there = file.metadata()?;
        let is_own =
            real.starts_with(fs::canonicalize(within)?) && there.is_file() && there.nlink() == 1;
        if !is_own {
            return Err(io::Error::other("is not a file of that directory alone"));
        }
        if there.permissions().mode() & 0o7777 == mode {
            return Ok(false);
        }
        self.checkpoint(&format!("before setting the mode of {}", path.display()));
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(true)
    }

    /// Removes one file or link, durably; absent is fine.
    pub fn remove_file(&self, path: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        self.checkpoint(&format!("before removing {}", path.display()));
        match fs::remove_file(path) {
            Ok(()) => sync_parent(path).map_err(at("fsync the directory of")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("remove")(error)),
        }
    }

    /// Removes a directory that holds files alone; a directory inside it is an error, and stays.
    pub fn remove_flat_dir(&self, path: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at("list")(error)),
        };
        for entry in entries {
            self.remove_file(&entry.map_err(at("list"))?.path())?;
        }
        self.checkpoint(&format!("before removing {}", path.display()));
        fs::remove_dir(path).map_err(at("remove"))?;
        sync_parent(path).map_err(at("fsync the directory of"))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one door to rename; callers sync the directory"
    )]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

/// Opens a regular file without ever waiting for another process; `None` when there is no such file.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let opened = fs::metadata(path)
        // before it is opened: opening a device can act on it
        .and_then(|metadata| regular(&metadata))
        .and_then(|()| {
            // it may have been replaced since: O_NONBLOCK keeps even a fifo from holding us
            OpenOptions::new()
                .read(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
                .open(path)
        });
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    regular(&file.metadata()?)?;
    Ok(Some(file))
}

/// Refuses everything but a regular file, with what it is.
pub(super) fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a fifo",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{found}, not a regular file"),
    ))
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_a_device_and_a_directory_are_refused_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a fifo"),
            (Path::new("/dev/zero"), "a device"),
            (dir.path(), "a directory"),
        ] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let owned = path.to_owned();
            std::thread::spawn(move || sender.send(Host::of_tests().read(&owned)));
            let answer = receiver.recv_timeout(std::time::Duration::from_secs(5));
            let error = answer.expect("it hangs").unwrap_err();
            assert_eq!(error.to_string(), format!("{what}, not a regular file"));
        }
        assert!(
            Host::of_tests()
                .read(&dir.path().join("absent"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn more_than_sixteen_mebibytes_are_refused_and_a_log_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_READ).unwrap();
        assert!(Host::of_tests().read(&path).unwrap().is_some());
        file.set_len(MAX_READ + 1).unwrap();
        let error = Host::of_tests().read(&path).unwrap_err();
        assert_eq!(error.to_string(), "larger than 16 MiB");
        std::io::Write::write_all(
            &mut OpenOptions::new().append(true).open(&path).unwrap(),
            b"the end",
        )
        .unwrap();
        assert_eq!(
            Host::of_tests().read_end(&path, 7).unwrap().unwrap(),
            b"the end"
        );
    }

    #[test]
    fn a_directory_that_takes_no_files_is_told_as_the_operation_that_failed() {
        let path = Path::new("/proc/self/agnes");
        let error = Host::of_tests()
            .install(path, b"", 0o644, None)
            .unwrap_err();
        assert_eq!(error.operation, "create a file beside");
        let error = Host::of_tests().link(path, path).unwrap_err();
        assert_eq!(error.operation, "link beside");
    }
}

//! Whole files of any size: copied, moved, measured.
//!
//! Always true: a copy appears under its name whole and durable, with the mode and owner asked for, and shares blocks with its
//! original where the file system can; what is moved is moved in one step.
//!
//! Does not: copy a database that somebody has open (its owner does).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use agnes_config::FileOwner;
use aws_lc_rs::digest::{Context, SHA256};
use nix::fcntl::OFlag;

use super::files::{InstallError, sync_parent};
use super::{Host, half_made};

/// Opens a file of that very name: a link that its owner has put there could lead to what only root may read, and a fifo would be
/// waited for.
fn regular(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

impl Host {
    /// Copies `from`, which is no link, to `to`, in place of what stands there.
    ///
    /// # Errors
    /// What the file system says; what stood under `to` is still there then.
    #[expect(clippy::disallowed_methods, reason = "the one door to copying")]
    pub fn copy(
        &self,
        from: &Path,
        to: &Path,
        mode: u32,
        owner: Option<FileOwner>,
    ) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(to, operation);
        let temp = half_made::beside(to).map_err(at("copy to this name"))?;
        self.checkpoint(&format!("before copying to {}", to.display()));
        let copied = (|| {
            let mut source = regular(from).map_err(at("copy beside"))?;
            let mut file = half_made::file(&temp, 0o600).map_err(at("open the copy beside"))?;
            // copy_file_range underneath: blocks are shared where they can be
            io::copy(&mut source, &mut file).map_err(at("copy beside"))?;
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(at("set the mode"))?;
            if let Some(owner) = owner {
                fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(at("set the owner"))?;
            }
            file.sync_all().map_err(at("fsync"))?;
            fs::rename(&temp, to).map_err(at("rename"))
        })();
        if copied.is_err() {
            let _ = fs::remove_file(&temp);
        }
        copied?;
        self.checkpoint(&format!("copied to {}", to.display()));
        sync_parent(to).map_err(at("fsync the directory of"))
    }

    /// Gives a file another name on the same file system, in place of what stands there.
    ///
    /// # Errors
    /// What the file system says.
    #[expect(clippy::disallowed_methods, reason = "the one door to moving")]
    pub fn move_file(&self, from: &Path, to: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(to, operation);
        self.checkpoint(&format!("before moving to {}", to.display()));
        fs::rename(from, to).map_err(at("move to"))?;
        self.checkpoint(&format!("moved to {}", to.display()));
        sync_parent(to)
            .and_then(|()| sync_parent(from))
            .map_err(at("fsync the directory of"))
    }

    /// Removes a directory of ours with all that other programs left in it; links in it are removed, not followed. Absent is fine.
    ///
    /// # Errors
    /// What the file system says.
    #[expect(clippy::disallowed_methods, reason = "the one door to removing a tree")]
    pub fn remove_tree(&self, path: &Path) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        self.checkpoint(&format!("before removing {}", path.display()));
        match fs::remove_dir_all(path) {
            Ok(()) => sync_parent(path).map_err(at("fsync the directory of")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("remove")(error)),
        }
    }

    /// Makes durable what other programs have written on the file system of a directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self, directory: &Path) -> io::Result<()> {
        let open = File::open(directory)?;
        Ok(nix::unistd::syncfs(&open)?)
    }

    /// A file to read from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// Makes a new file of what `fill` writes, durably; whatever it wrote when it fails is removed.
    ///
    /// # Errors
    /// What the file system or `fill` says; also when the name is taken.
    pub fn make_file<T>(
        &self,
        path: &Path,
        mode: u32,
        fill: impl FnOnce(&mut File) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let at = |operation| InstallError::at(path, operation);
        self.checkpoint(&format!("before making {}", path.display()));
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(at("make"))?;
        let filled = fill(&mut file).and_then(|filled| {
            file.sync_all().map_err(at("fsync"))?;
            sync_parent(path).map_err(at("fsync the directory of"))?;
            Ok(filled)
        });
        if filled.is_err() {
            let _ = fs::remove_file(path);
        }
        filled
    }

    /// SHA-256 of a file's bytes, in lower-case hexadecimal digits.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sha256(&self, path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            context.update(piece.get(..read).unwrap_or_default());
        }
        Ok(crate::sha256::hex(context.finish().as_ref()))
    }

    /// The size of a file in bytes; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a directory is on the file system of this block device, links to it followed.
    ///
    /// # Errors
    /// When one of them cannot be looked at.
    pub fn is_on(&self, directory: &Path, device: &Path) -> io::Result<bool> {
        let device = fs::metadata(device)?;
        let block = std::os::unix::fs::FileTypeExt::is_block_device(&device.file_type());
        Ok(block && fs::metadata(directory)?.dev() == device.rdev())
    }
}

#[cfg(test)]
#[allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "the one small disk of all tests; most of it is for others"
)]
#[path = "../../../agnesd/tests/process/small_disk.rs"]
mod small_disk;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b02_a_directory_is_on_the_device_that_is_mounted_there_and_on_no_other() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = small_disk::SmallDisk::mount(dir.path(), 4) else {
            return;
        };
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let at = format!(" {} ", dir.path().display());
        let line = mounts.lines().find(|line| line.contains(&at)).unwrap();
        let device = Path::new(line.split_once(' ').unwrap().0);
        assert!(host.is_on(dir.path(), device).unwrap());
        let link = tempfile::tempdir().unwrap();
        let by_name = link.path().join("by-name");
        std::os::unix::fs::symlink(device, &by_name).unwrap();
        assert!(host.is_on(dir.path(), &by_name).unwrap());
        // the directory under the mount point, when the disk is not there
        drop(disk);
        assert!(!host.is_on(dir.path(), device).unwrap());
        assert!(!host.is_on(dir.path(), Path::new("/dev/null")).unwrap());
        assert!(host.is_on(dir.path(), &dir.path().join("none")).is_err());
    }

    #[test]
    fn a_copy_is_whole_and_leaves_nothing_beside_it() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, vec![7; 3 << 20]).unwrap();
        fs::write(&to, "before").unwrap();
        host.copy(&from, &to, 0o600, None).unwrap();
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        assert_eq!(host.sha256(&from).unwrap(), host.sha256(&to).unwrap());
        assert_eq!(host.size(&to).unwrap(), Some(3 << 20));
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            host.copy(&dir.path().join("absent"), &to, 0o600, None)
                .is_err()
        );
        assert_eq!(host.size(&to).unwrap(), Some(3 << 20));
        host.move_file(&to, &from).unwrap();
        assert_eq!(host.size(&to).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(host.room(dir.path()).unwrap().bytes > 0);
    }
}

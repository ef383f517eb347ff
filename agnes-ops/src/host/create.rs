//! Files that are made once and never written again, and directories that are not for everybody.
//!
//! Always true: a file appears under its name whole and durable, and never in place of another.
//!
//! Does not: replace (`files` does).

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use agnes_config::FileOwner;

use super::files::{InstallError, sync_parent};
use super::{Host, half_made};

impl Host {
    /// Makes a file that was not there.
    ///
    /// # Errors
    /// Also when something has that name: it stays as it is.
    pub fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), InstallError> {
        let at = |operation| InstallError::at(path, operation);
        let temp = half_made::beside(path).map_err(at("create under this name"))?;
        self.checkpoint(&format!("before creating {}", path.display()));
        let created = (|| {
            let mut file = half_made::file(&temp, mode).map_err(at("create a file beside"))?;
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(at("set the mode"))?;
            file.write_all(bytes).map_err(at("write"))?;
            self.checkpoint(&format!("written, not synced {}", path.display()));
            file.sync_all().map_err(at("fsync"))?;
            // unlike a rename it fails when the name is taken
            fs::hard_link(&temp, path).map_err(at("create"))?;
            self.checkpoint(&format!("created {}", path.display()));
            sync_parent(path).map_err(at("fsync the directory of"))
        })();
        let removed = fs::remove_file(&temp);
        created?;
        removed.map_err(at("tidy up beside"))
    }

    /// Makes the directory, and sees that it has this mode and owner; its parent must be there. `true`: something changed.
    ///
    /// # Errors
    /// Also when the name is that of something else.
    pub fn make_dir_as(
        &self,
        path: &Path,
        mode: u32,
        owner: Option<FileOwner>,
    ) -> Result<bool, InstallError> {
        let at = |operation| InstallError::at(path, operation);
        let mut changed = false;
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let taken = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(at("make the directory")(taken));
            }
            Err(_) => {
                self.checkpoint(&format!("before making {}", path.display()));
                DirBuilder::new()
                    .mode(mode)
                    .create(path)
                    .map_err(at("make the directory"))?;
                changed = true;
            }
        }
        let directory = File::open(path).map_err(at("open"))?;
        let metadata = directory.metadata().map_err(at("look at"))?;
        if let Some(owner) = owner
            && (metadata.uid(), metadata.gid()) != (owner.uid, owner.gid)
        {
            fchown(&directory, Some(owner.uid), Some(owner.gid)).map_err(at("set the owner"))?;
            changed = true;
        }
        if metadata.mode() & 0o7777 != mode {
            // the umask may have taken bits away
            directory
                .set_permissions(Permissions::from_mode(mode))
                .map_err(at("set the mode"))?;
            changed = true;
        }
        if changed {
            sync_parent(path).map_err(at("fsync the directory of"))?;
        }
        Ok(changed)
    }

    /// Whose a file is, and its permission bits, links followed; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn owner_and_mode(&self, path: &Path) -> io::Result<Option<(FileOwner, u32)>> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let (uid, gid) = (metadata.uid(), metadata.gid());
                Ok(Some((FileOwner { uid, gid }, metadata.mode() & 0o7777)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_created_is_never_written_again() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        host.create(&path, b"first", 0o600).unwrap();
        let refused = host.create(&path, b"second", 0o600).unwrap_err();
        assert_eq!(refused.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_gets_its_mode_and_a_file_in_its_place_is_refused() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private");
        assert!(host.make_dir_as(&path, 0o700, None).unwrap());
        assert!(!host.make_dir_as(&path, 0o700, None).unwrap());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(host.make_dir_as(&path, 0o700, None).unwrap());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(
            host.make_dir_as(&dir.path().join("file"), 0o700, None)
                .is_err()
        );
    }
}

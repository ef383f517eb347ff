//! File systems: how much there is of each, and how much is free.
//!
//! Always true: each is told once, at the first of the places that are on it.
//!
//! Does not: mount.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Host;

/// Free room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that we may use.
    pub bytes: u64,
    /// Files that we may make.
    pub inodes: u64,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// A place on it.
    pub at: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What of it we may use.
    pub bytes_free: u64,
    /// How many files it can have; 0: as many as it has room for.
    pub inodes: u64,
    /// How many more we may make.
    pub inodes_free: u64,
    /// Nothing can be written.
    pub read_only: bool,
}

impl Host {
    /// What is free on the file system of a directory.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn room(&self, directory: &Path) -> io::Result<Room> {
        let found = file_system(directory)?;
        Ok(Room {
            bytes: found.bytes_free,
            inodes: match found.inodes {
                0 => u64::MAX,
                _ => found.inodes_free,
            },
        })
    }

    /// Those that these places are on, or will be once they are made.
    ///
    /// # Errors
    /// When one cannot be looked at.
    pub fn file_systems(&self, places: &[PathBuf]) -> io::Result<Vec<FileSystem>> {
        let mut known = Vec::new();
        let mut found = Vec::new();
        for place in places {
            let Some(there) = place.ancestors().find(|above| above.exists()) else {
                continue;
            };
            let device = fs::metadata(there)?.dev();
            if !known.contains(&device) {
                known.push(device);
                found.push(file_system(there)?);
            }
        }
        Ok(found)
    }
}

fn file_system(at: &Path) -> io::Result<FileSystem> {
    let found = statvfs(at)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    Ok(FileSystem {
        at: at.to_owned(),
        bytes: bytes(found.blocks()),
        bytes_free: bytes(found.blocks_available()),
        inodes: found.files(),
        inodes_free: found.files_available(),
        read_only: found.flags().contains(FsFlags::ST_RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_system_is_told_once_also_for_what_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let places = [
            dir.path().join("a/b"),
            dir.path().to_owned(),
            "/proc".into(),
        ];
        let found = Host::of_tests().file_systems(&places).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].at, dir.path());
        assert!(found[0].bytes >= found[0].bytes_free && !found[0].read_only);
        assert!(Host::of_tests().room(dir.path()).unwrap().bytes > 0);
    }
}

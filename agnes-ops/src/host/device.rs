//! Block devices, looked at.
//!
//! Always true: opened read-only; only a block device is read here.
//!
//! Does not: write to one.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;

use super::Host;

impl Host {
    /// The size of a block device in bytes, links followed; `None`: it is something else.
    ///
    /// # Errors
    /// When it is not there, or cannot be opened.
    pub fn device_size(&self, path: &Path) -> io::Result<Option<u64>> {
        if !fs::metadata(path)?.file_type().is_block_device() {
            return Ok(None);
        }
        let mut device = File::open(path)?;
        device.seek(SeekFrom::End(0)).map(Some)
    }

    /// So many bytes of a block device from an offset, fewer at its end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_part(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let device = File::open(path)?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match device.read_at(rest, offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

//! Reading a configuration file: absent, unreadable and readable are three things.
//!
//! Always true: only a name that is not there counts as absent; a link that leads nowhere, a directory, a pipe and a file
//! above the cap are unreadable.
//!
//! Does not: parse.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Larger than any configuration that people write; it bounds what a wrong path costs.
const LARGEST_BYTES: u64 = 1 << 20;

/// The bytes of `path`; `None` when nothing has that name.
///
/// # Errors
/// One line without the path: why it cannot be read and what is expected.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err("is a symbolic link to a file that does not exist".to_owned());
        }
        Err(error) => return Err(unreadable(&error)),
    };
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        let found = if metadata.is_dir() {
            "directory"
        } else {
            "special file"
        };
        return Err(format!("is a {found} (expected a file)"));
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > LARGEST_BYTES) {
        return Err("is larger than 1 MiB (expected a configuration file)".to_owned());
    }
    Ok(Some(bytes))
}

pub(super) fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

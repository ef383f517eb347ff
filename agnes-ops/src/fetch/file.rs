//! `file://`: one regular file, read whole.
//!
//! Always true: never blocks on a fifo and never opens a device (opening one can act on it).
//!
//! Does not: refuse symbolic links; the operator may have made them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::{Body, Fetched, Reason, Refusal};

/// # Errors
/// `not-published`: missing; `forbidden`: no permission; `malformed`: not a regular file; `too-large`; `transient`: I/O.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Fetched, Refusal> {
    Ok(Fetched::Body {
        bytes: bytes(path, max_bytes)?,
        etag: None,
    })
}

/// The content alone, also for the files that other schemes need.
///
/// # Errors
/// As [`read`].
pub(super) fn bytes(path: &Path, max_bytes: u64) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    regular(&std::fs::metadata(path).map_err(|e| refused(&e))?)?;
    // It may have been replaced since; O_NONBLOCK keeps even a fifo from holding us.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).map_err(|e| refused(&e))?;
    let metadata = file.metadata().map_err(|e| refused(&e))?;
    regular(&metadata)?;
    Ok(read_capped(file, metadata.len(), max_bytes)?.bytes)
}

fn read_capped(mut file: File, length: u64, max_bytes: u64) -> Result<Body, Refusal> {
    let mut body = Body::new(Some(length), max_bytes)?;
    let mut piece = Zeroizing::new([0; 8192]);
    loop {
        match file.read(piece.as_mut_slice()) {
            Ok(0) => return Ok(body),
            Ok(read) => body.push(piece.get(..read).unwrap_or_default())?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(refused(&e)),
        }
    }
}

fn regular(metadata: &Metadata) -> Result<(), Refusal> {
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a fifo",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Refusal::new(
        Reason::Malformed,
        format!("is {found}, not a regular file"),
    ))
}

fn refused(error: &std::io::Error) -> Refusal {
    let errno = error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw);
    let (reason, what) = match errno {
        Errno::ENOENT | Errno::ENOTDIR => (Reason::NotPublished, "no such file".to_owned()),
        Errno::EACCES | Errno::EPERM => (Reason::Forbidden, "permission denied".to_owned()),
        Errno::ELOOP | Errno::ENAMETOOLONG | Errno::ENXIO => {
            (Reason::Malformed, errno.desc().to_owned())
        }
        _ => (
            Reason::Transient,
            format!("cannot be read: {}", errno.desc()),
        ),
    };
    Refusal::new(reason, what)
}

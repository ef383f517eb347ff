//! Files in which this program keeps what it has to know the next time: JSON below `$STATE_DIR/ops`.
//!
//! Always true: written whole and durable; absent is told from what is there and not understood, which is never taken for nothing.
//!
//! Does not: know what they say (the journal has rules of its own).

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::host::Host;

/// What is kept; `None`: nothing yet.
///
/// # Errors
/// When it is there and not understood.
pub fn read<T: DeserializeOwned>(host: &Host, path: &Path) -> Result<Option<T>> {
    let bytes = host
        .read(path)
        .with_context(|| format!("{}: read", path.display()))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .with_context(|| format!("{}: is no file of this program", path.display()))
}

/// Keeps it.
///
/// # Errors
/// When it cannot be written; what was kept before still is.
pub fn write<T: Serialize>(host: &Host, path: &Path, kept: &T) -> Result<()> {
    write_with_mode(host, path, kept, 0o644)
}

/// The same, for root's eyes alone.
///
/// # Errors
/// As [`write`].
pub fn write_secret<T: Serialize>(host: &Host, path: &Path, kept: &T) -> Result<()> {
    write_with_mode(host, path, kept, 0o600)
}

fn write_with_mode<T: Serialize>(host: &Host, path: &Path, kept: &T, mode: u32) -> Result<()> {
    if let Some(directory) = path.parent() {
        host.make_dir(directory)?;
    }
    host.install(path, &serde_json::to_vec_pretty(kept)?, mode, None)?;
    Ok(())
}

/// A page of text, for everybody's eyes.
///
/// # Errors
/// As [`write`].
pub fn write_text(host: &Host, path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        host.make_dir(directory)?;
    }
    Ok(host.install(path, text.as_bytes(), 0o644, None)?)
}

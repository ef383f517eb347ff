//! Transactions that are open: what a killed run was about to change, so that the next one finishes or undoes it.
//!
//! Always true: an entry is durable before the first effect it speaks of and gone after the last; unknown fields are
//! kept out of the way of an older version (additive JSON).
//!
//! Does not: know what the entries mean; each command reads its own.

pub mod named;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::host::Host;

/// The journal of one kind of transaction.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// `$STATE_DIR/ops/journal/<name>.json`.
    pub fn new(state_dir: &std::path::Path, name: &str) -> Self {
        Self {
            path: state_dir.join("ops/journal").join(format!("{name}.json")),
        }
    }

    /// The open transaction, if there is one.
    ///
    /// # Errors
    /// When the entry is there and cannot be read or understood: a person must look, nothing may be assumed.
    pub fn read<T: DeserializeOwned>(&self, host: &Host) -> Result<Option<T>> {
        let bytes = host
            .read(&self.path)
            .with_context(|| format!("{}: read", self.path.display()))?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .with_context(|| {
                format!(
                    "{}: not a journal entry of this program",
                    self.path.display()
                )
            })
    }

    /// Whether there is an open transaction, whatever it says.
    ///
    /// # Errors
    /// When that cannot be seen.
    pub fn is_open(&self, host: &Host) -> Result<bool> {
        let size = host.size(&self.path);
        let size = size.with_context(|| format!("{}: look at", self.path.display()))?;
        Ok(size.is_some())
    }

    /// Opens or advances the transaction.
    ///
    /// # Errors
    /// When it cannot be made durable; the caller must not go on.
    pub fn write<T: Serialize>(&self, host: &Host, entry: &T) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            host.make_dir(directory)?;
            let _ = host.sweep(directory);
        }
        host.install(&self.path, &serde_json::to_vec_pretty(entry)?, 0o644, None)?;
        Ok(())
    }

    /// Closes the transaction.
    ///
    /// # Errors
    /// When the entry cannot be removed.
    pub fn close(&self, host: &Host) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            let _ = host.sweep(directory);
        }
        host.remove_file(&self.path)?;
        Ok(())
    }
}

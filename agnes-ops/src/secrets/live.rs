//! `$STATE_DIR/secrets/live/`: what the server reads, mounted as a directory and named by `*_FILE`.
//!
//! Always true: each file is the server's user's alone (0400) and is replaced whole.
//!
//! Does not: know which value counts.

use std::path::{Path, PathBuf};

use agnes_config::{FileOwner, Secret};
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use crate::host::Host;

const MODE: u32 = 0o400;
const DIRECTORY_MODE: u32 = 0o700;

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Live {
    directory: PathBuf,
    owner: Option<FileOwner>,
}

impl Live {
    pub(super) fn new(state_dir: &Path, owner: Option<FileOwner>) -> Self {
        Self {
            directory: state_dir.join("secrets/live"),
            owner,
        }
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the server finds a secret.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Whether the file says this, with its mode and owner.
    pub(super) fn holds(&self, host: &Host, name: &str, secret: &Secret) -> Result<bool> {
        let path = self.path(name);
        let failed = || format!("{}: read", path.display());
        let bytes = host.read(&path).with_context(failed)?.map(Zeroizing::new);
        let found = host.owner_and_mode(&path).with_context(failed)?;
        let same = bytes.is_some_and(|bytes| *bytes == secret.expose().as_bytes());
        let ours = found.is_some_and(|(owner, mode)| {
            mode == MODE && self.owner.is_none_or(|wanted| wanted == owner)
        });
        Ok(same && ours)
    }

    /// Takes the file away; absent is fine.
    pub(super) fn remove(&self, host: &Host, name: &str) -> Result<()> {
        host.remove_file(&self.path(name))?;
        Ok(())
    }

    /// Makes the file say this. `true`: it changed.
    pub(super) fn put(&self, host: &Host, name: &str, secret: &Secret) -> Result<bool> {
        if self.holds(host, name, secret)? {
            return Ok(false);
        }
        host.make_dir_as(&self.directory, DIRECTORY_MODE, self.owner)?;
        let bytes = secret.expose().as_bytes();
        host.install(&self.path(name), bytes, MODE, self.owner)?;
        Ok(true)
    }
}

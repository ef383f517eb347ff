//! `.env` as what agnes-ops writes into: secrets for Compose and side-cars, and which files make the stack.
//!
//! Always true: comments, order, unknown keys, owner and line endings stay byte for byte; a write is atomic, only for a
//! change, and leaves the file 0600; Compose reads back what was written, or nothing is (B03, B04).
//!
//! Does not: judge values.

use std::path::{Path, PathBuf};

use agnes_config::dotenv::{self, Parsed};
use agnes_config::{FileOwner, SourceUrl};
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use crate::host::{Entry, Host};

/// A variable of the process's environment, by name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

const MODE: u32 = 0o600;

/// One way to take a key out.
type Remove = fn(&[u8], &str) -> Result<Vec<u8>, dotenv::UpsertError>;

/// `<DIR>/.env` as it was read.
pub struct EnvFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    parsed: Parsed,
    owner: Option<FileOwner>,
    mode: Option<u32>,
}

impl EnvFile {
    /// Reads it; one that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(host: &Host, dir: &Path, lookup: Lookup<'_>) -> Result<Self> {
        let path = target(host, dir.join(".env"))?;
        let failed = || format!("{}: read", path.display());
        let bytes = Zeroizing::new(host.read(&path).with_context(failed)?.unwrap_or_default());
        let found = host.owner_and_mode(&path).with_context(failed)?;
        Ok(Self {
            parsed: dotenv::parse(&bytes, lookup),
            bytes,
            owner: found.map(|(owner, _)| owner),
            mode: found.map(|(_, mode)| mode),
            path,
        })
    }

    /// The value that counts: not empty, and no reference that is still to be resolved.
    pub fn value(&self, name: &str) -> Option<&str> {
        let value = self.parsed.get(name)?.value.as_str();
        (!value.is_empty() && reference(value).is_none()).then_some(value)
    }

    /// What stands there, whatever it is; `None`: there is no such key.
    pub fn text(&self, name: &str) -> Option<&str> {
        Some(self.parsed.get(name)?.value.as_str())
    }

    /// Keys whose value is the address of a secret.
    pub fn references(&self) -> Vec<(String, SourceUrl)> {
        let entries = self.parsed.entries.iter();
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let counts = self.parsed.get(&entry.key)?;
                Some((entry.key.clone(), reference(&counts.value)?))
            })
            .collect();
        found.dedup_by(|a, b| a.0 == b.0);
        found
    }

    /// Whether each key has this value.
    pub fn is(&self, pairs: &[(&str, &str)]) -> bool {
        pairs.iter().all(|(key, value)| {
            self.parsed
                .get(key)
                .is_some_and(|entry| entry.value == *value)
        })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.mode.is_some()
    }

    /// Its permission bits; `None`: it is not there.
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// Whether [`EnvFile::write`] would write.
    ///
    /// # Errors
    /// When Compose would not read back what was written.
    pub fn would_change(&self, pairs: &[(&str, &str)]) -> Result<bool> {
        Ok(self.differs(&self.of_pairs(pairs)?))
    }

    /// Sets `pairs`; a key whose value is empty is taken out. `true`: the file changed.
    ///
    /// # Errors
    /// As [`EnvFile::would_change`], or when the host refuses.
    pub fn write(&self, host: &Host, pairs: &[(&str, &str)]) -> Result<bool> {
        self.replace(host, &self.of_pairs(pairs)?)
    }

    /// What it would hold with `set`, and without the lines of `removed` that count.
    ///
    /// # Errors
    /// When Compose would not read back what was written.
    pub fn with(&self, set: &[(&str, &str)], removed: &[&str]) -> Result<Zeroizing<Vec<u8>>> {
        self.edited(set, removed, dotenv::remove_last)
    }

    fn edited(
        &self,
        set: &[(&str, &str)],
        removed: &[&str],
        remove: Remove,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let failed = || format!("{}: not written", self.path.display());
        let mut changed = Zeroizing::new(dotenv::upsert(&self.bytes, set).with_context(failed)?);
        for key in removed {
            changed = Zeroizing::new(remove(&changed, key).with_context(failed)?);
        }
        Ok(changed)
    }

    /// Has it hold these bytes of [`EnvFile::with`]. `true`: the file changed.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn replace(&self, host: &Host, bytes: &[u8]) -> Result<bool> {
        if !self.differs(bytes) {
            return Ok(false);
        }
        host.install(&self.path, bytes, MODE, self.owner)?;
        Ok(true)
    }

    fn differs(&self, bytes: &[u8]) -> bool {
        bytes != self.bytes.as_slice() || self.mode.is_some_and(|mode| mode != MODE)
    }

    fn of_pairs(&self, pairs: &[(&str, &str)]) -> Result<Zeroizing<Vec<u8>>> {
        let (empty, set): (Vec<_>, Vec<_>) = pairs
            .iter()
            .copied()
            .partition(|(_, value)| value.is_empty());
        let empty: Vec<&str> = empty.into_iter().map(|(key, _)| key).collect();
        self.edited(&set, &empty, dotenv::remove)
    }
}

fn reference(value: &str) -> Option<SourceUrl> {
    if !value.starts_with("sm://") {
        return None;
    }
    value.parse().ok()
}

/// The file itself, where the name is a link: a link that is replaced by a file would leave its target with old values.
fn target(host: &Host, path: PathBuf) -> Result<PathBuf> {
    match host
        .entry(&path)
        .with_context(|| format!("{}: look at", path.display()))?
    {
        Entry::Link(_) => std::fs::canonicalize(&path)
            .with_context(|| format!("{}: follow the link", path.display())),
        _ => Ok(path),
    }
}

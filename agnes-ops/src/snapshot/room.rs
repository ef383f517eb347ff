//! Where copies are worked on: a directory of its own for each run, and enough room for it.
//!
//! Always true: it is removed whatever came of the work; what a killed run left is removed by the next.
//!
//! Does not: hold anything that would be missed.

use std::path::{Path, PathBuf};

use agnes_config::{FileOwner, Settings};
use anyhow::{Context as _, Result};

use super::{database, directory};
use crate::deployment::Deployment;
use crate::host::Host;

/// Left free besides, in bytes.
const SPARE: u64 = 64 << 20;
/// Files that a copy and what is made with it need, amply.
const FILES: u64 = 50;

/// A directory below `$STATE_DIR/ops/scratch`.
pub struct Room<'a> {
    host: &'a Host,
    /// Where it is.
    pub path: PathBuf,
}

/// Where all of them are.
pub fn scratch(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/scratch")
}

/// Removes what killed runs left; the room of a restore that is open stays.
///
/// # Errors
/// What the file system says.
pub fn sweep(deployment: Deployment<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let kept = super::restore::open_room(deployment)?;
    let parent = scratch(settings);
    let names = host.list(&parent);
    for name in names.with_context(|| format!("{}: list", parent.display()))? {
        if kept.as_ref() != Some(&name) {
            host.remove_tree(&parent.join(name))?;
        }
    }
    Ok(())
}

impl<'a> Room<'a> {
    /// An empty one for `owner`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make(deployment: Deployment<'a>, name: &str, owner: Option<FileOwner>) -> Result<Self> {
        let Deployment { host, settings, .. } = deployment;
        let parent = scratch(settings);
        host.make_dir(&parent)?;
        let path = parent.join(name);
        host.remove_tree(&path)?;
        host.make_dir_as(&path, 0o700, owner)?;
        Ok(Self { host, path })
    }

    /// Keeps it where it is.
    pub fn keep(self) -> PathBuf {
        self.path.clone()
    }

    /// It goes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(self) -> Result<()> {
        Ok(self.host.remove_tree(&self.path)?)
    }
}

/// Whether the next snapshot has room.
#[derive(Debug)]
pub enum ForTheNext {
    /// It has.
    Enough,
    /// It would be refused, and why.
    Short(String),
    /// There is nothing to take one of, here.
    NoDatabase(PathBuf),
}

/// Looks at the database and at where its copy would be.
///
/// # Errors
/// When they cannot be looked at.
pub fn for_the_next(deployment: Deployment<'_>) -> Result<ForTheNext> {
    let Deployment { host, settings, .. } = deployment;
    let path = database(settings);
    let size = host.size(&path);
    let size = size.with_context(|| format!("{}: look at", path.display()))?;
    let Some(size) = size else {
        return Ok(ForTheNext::NoDatabase(path));
    };
    let enough = enough(host, &directory(settings), 1, size)?;
    Ok(enough.map_or_else(ForTheNext::Short, |()| ForTheNext::Enough))
}

/// Refuses when a file system has no room for `copies` of `bytes`; the clause names it.
///
/// # Errors
/// When it cannot be looked at.
pub fn enough(
    host: &Host,
    directory: &Path,
    copies: u64,
    bytes: u64,
) -> Result<Result<(), String>> {
    let there = directory.ancestors().find(|path| path.is_dir());
    let there = there.unwrap_or(Path::new("/"));
    let room = host
        .room(there)
        .with_context(|| format!("{}: look at", there.display()))?;
    let needed = bytes.saturating_mul(copies).saturating_add(SPARE);
    if room.bytes >= needed && room.inodes >= FILES {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "{}: {} MiB and {} files are free; {} MiB and {FILES} files are needed",
        directory.display(),
        room.bytes >> 20,
        room.inodes,
        needed >> 20
    )))
}

//! The configuration of a snapshot, put back on request.
//!
//! Always true: what was there is put aside first; `.env` keeps its secrets and unknown keys: only the settings that the snapshot
//! has are written into it.
//!
//! Does not: make anybody read it: the server does at its start, Compose at its next `up`.

use std::path::{Path, PathBuf};

use agnes_config::dotenv;
use anyhow::{Context as _, Result};

use super::super::configuration::DIRECTORY;
use super::super::directory;
use super::super::manifest::Manifest;
use super::transaction::Transaction;
use crate::deployment::Deployment;
use crate::env_file::{EnvFile, Lookup};

const ENV: &str = ".env";

/// The files of the snapshot, and whether each is there now.
///
/// # Errors
/// When one cannot be looked at.
pub fn of(deployment: Deployment<'_>, manifest: &Manifest) -> Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for name in manifest.files.keys() {
        let Ok(path) = Path::new(name).strip_prefix(DIRECTORY) else {
            continue;
        };
        let plain = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        anyhow::ensure!(plain, "{name}: is no path of a configuration");
        let there = deployment.host.size(&deployment.settings.dir.join(path));
        let there = there.with_context(|| format!("{}: look at", path.display()))?;
        found.push((path.to_owned(), there.is_some()));
    }
    Ok(found)
}

/// Puts what is there aside, and the snapshot's in its place.
///
/// # Errors
/// What the file system says; [`back`] leads back.
pub fn exchange(
    deployment: Deployment<'_>,
    transaction: &Transaction,
    lookup: Lookup<'_>,
) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let aside = transaction.replaced(settings).join(DIRECTORY);
    let from = directory(settings)
        .join(&transaction.snapshot)
        .join(DIRECTORY);
    for (path, was_there) in &transaction.configuration {
        let to = settings.dir.join(path);
        let kept = aside.join(path);
        for place in [kept.parent(), to.parent()].into_iter().flatten() {
            host.make_dir(place)?;
        }
        let found = host.owner_and_mode(&to)?;
        if *was_there && host.size(&kept)?.is_none() {
            host.copy(&to, &kept, 0o600, None)?;
        }
        let bytes = host.read(&from.join(path))?.unwrap_or_default();
        if path == Path::new(ENV) {
            let parsed = dotenv::parse(&bytes, lookup);
            let pairs: Vec<(&str, &str)> = parsed
                .entries
                .iter()
                .map(|entry| (entry.key.as_str(), entry.value.as_str()))
                .collect();
            EnvFile::read(host, &settings.dir, lookup)?.write(host, &pairs)?;
            continue;
        }
        let (owner, mode) = found.map_or((None, 0o644), |(owner, mode)| (Some(owner), mode));
        host.install(&to, &bytes, mode, owner)?;
    }
    Ok(())
}

/// Puts back what was there.
///
/// # Errors
/// What the file system says; it may be repeated.
pub fn back(deployment: Deployment<'_>, transaction: &Transaction) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let aside = transaction.replaced(settings).join(DIRECTORY);
    for (path, was_there) in &transaction.configuration {
        let (to, kept) = (settings.dir.join(path), aside.join(path));
        if !was_there {
            host.remove_file(&to)?;
            continue;
        }
        // not put aside yet: not replaced yet
        if let Some(bytes) = host.read(&kept)? {
            let found = host.owner_and_mode(&to)?;
            let (owner, mode) = found.map_or((None, 0o600), |(owner, mode)| (Some(owner), mode));
            host.install(&to, &bytes, mode, owner)?;
        }
    }
    Ok(())
}

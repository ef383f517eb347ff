//! The configuration of a snapshot, put back on request.
//!
//! Always true: what was there is put aside first; of `.env` only the keys that are wanted are written: settings, and secrets when
//! a person has brought the identity.
//!
//! Does not: make anybody read it: the server does at its start, Compose at its next `up`.

use std::path::{Component, Path, PathBuf};

use agnes_config::dotenv;
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::super::configuration::DIRECTORY;
use super::super::directory;
use super::super::manifest::Manifest;
use super::super::sealed::Pair;
use super::transaction::Transaction;
use crate::deployment::Deployment;
use crate::env_file::{EnvFile, Lookup};

const ENV: &str = ".env";

/// What is to be written.
#[derive(Default)]
pub struct Wanted {
    /// Below the deployment's directory.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Into `.env`.
    env: Vec<Pair>,
    /// Some of those are secrets, which others keep too.
    pub secrets: bool,
}

impl Wanted {
    /// The configuration of a snapshot.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(deployment: Deployment<'_>, manifest: &Manifest) -> Result<Self> {
        let Deployment { host, settings, .. } = deployment;
        let from = directory(settings).join(&manifest.id);
        let mut wanted = Self::default();
        for name in manifest.files.keys() {
            let Ok(path) = Path::new(name).strip_prefix(DIRECTORY) else {
                continue;
            };
            let plain = path
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            anyhow::ensure!(plain, "{name}: is no path of a configuration");
            let bytes = host.read(&from.join(name));
            let bytes = bytes
                .with_context(|| format!("{name}: read"))?
                .unwrap_or_default();
            if path == Path::new(ENV) {
                wanted.env = settings_of(&bytes);
            } else {
                wanted.files.push((path.to_owned(), bytes));
            }
        }
        Ok(wanted)
    }

    /// With these secrets too.
    pub fn with_secrets(mut self, pairs: Vec<Pair>) -> Self {
        self.secrets |= !pairs.is_empty();
        self.env.extend(pairs);
        self
    }

    /// The files that are touched, and whether each is there now.
    ///
    /// # Errors
    /// When one cannot be looked at.
    pub fn touched(&self, deployment: Deployment<'_>) -> Result<Vec<(PathBuf, bool)>> {
        let env = (!self.env.is_empty()).then(|| PathBuf::from(ENV));
        let paths = self.files.iter().map(|(path, _)| path.clone()).chain(env);
        let mut found = Vec::new();
        for path in paths {
            let there = deployment.host.size(&deployment.settings.dir.join(&path));
            let there = there.with_context(|| format!("{}: look at", path.display()))?;
            found.push((path, there.is_some()));
        }
        Ok(found)
    }
}

/// The settings of a `.env`, but those that refer to what stands elsewhere: what they came to on the host that made the snapshot is
/// not known, so what is there now stays.
fn settings_of(env: &[u8]) -> Vec<Pair> {
    let parsed = dotenv::parse(env, &|_| None);
    let elsewhere = dotenv::parse(env, &|_| Some("elsewhere".to_owned()));
    let mut found = Vec::new();
    for (entry, other) in parsed.entries.into_iter().zip(elsewhere.entries) {
        if entry.value == other.value {
            found.push((entry.key, Zeroizing::new(entry.value)));
        } else {
            tracing::warn!(
                "{}: refers to a variable that is not in the snapshot; what .env has stays",
                entry.key
            );
        }
    }
    found
}

/// Puts what is there aside, and what is wanted in its place.
///
/// # Errors
/// What the file system says; [`back`] leads back.
pub fn exchange(
    deployment: Deployment<'_>,
    transaction: &Transaction,
    wanted: &Wanted,
    lookup: Lookup<'_>,
) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let aside = transaction.replaced(settings).join(DIRECTORY);
    for (path, was_there) in &transaction.configuration {
        let (to, kept) = (settings.dir.join(path), aside.join(path));
        for place in [kept.parent(), to.parent()].into_iter().flatten() {
            host.make_dir(place)?;
        }
        if *was_there && host.size(&kept)?.is_none() {
            // a person's file may be a link to where they keep it
            let bytes = host.read(&to)?.unwrap_or_default();
            host.install(&kept, &bytes, 0o600, None)?;
        }
    }
    for (path, bytes) in &wanted.files {
        let to = settings.dir.join(path);
        let found = host.owner_and_mode(&to)?;
        let (owner, mode) = found.map_or((None, 0o644), |(owner, mode)| (Some(owner), mode));
        host.install(&to, bytes, mode, owner)?;
    }
    let pairs: Vec<(&str, &str)> = wanted
        .env
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    EnvFile::read(host, &settings.dir, lookup)?.write(host, &pairs)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b04_a_setting_that_refers_to_what_stands_elsewhere_is_left_alone() {
        let env = b"DOMAIN=agnes.example.com\nDATA_DIR=${BASE}/data\nLOG_LEVEL=${LEVEL:-info}\nTLS_ALIAS=www.${DOMAIN}\nLITERAL='${BASE}'\n";
        let found = settings_of(env);
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        // the environment comes before what the file says itself, also for DOMAIN
        assert_eq!(
            found,
            [("DOMAIN", "agnes.example.com"), ("LITERAL", "${BASE}"),]
        );
    }
}

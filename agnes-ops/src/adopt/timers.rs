//! Timers of others that run a deployment's scripts.
//!
//! Always true: a timer is taken for one when what it starts names the deployment's directory; our own never are.
//!
//! Does not: remove a file: a timer is switched off and on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cron::mentions;
use crate::host::{Entry, Host};
use crate::units;

/// The names of those that are enabled.
///
/// # Errors
/// When a unit cannot be read.
pub fn enabled(host: &Host, dirs: &[String]) -> Result<Vec<String>> {
    let names = list(host)?;
    let mut found = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".timer")) {
        if units::is_ours(name) || !is_enabled(host, name)? {
            continue;
        }
        let text = read(host, name)?;
        let starts =
            value(&text, "Unit").map_or_else(|| name.replace(".timer", ".service"), str::to_owned);
        // one of the distribution's is not a script of this deployment
        if mentions(&read(host, &starts)?, dirs) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Whether a timer's unit still is there.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_there(host: &Host, name: &str) -> Result<bool> {
    let path = directory().join(name);
    let entry = host
        .entry(&path)
        .with_context(|| format!("{}: look at", path.display()))?;
    Ok(matches!(entry, Entry::File { .. } | Entry::Link(_)))
}

fn directory() -> PathBuf {
    Path::new("/").join(units::UNITS)
}

fn list(host: &Host) -> Result<Vec<String>> {
    let names = host.list(&directory());
    names.with_context(|| format!("{}: list", directory().display()))
}

fn is_enabled(host: &Host, name: &str) -> Result<bool> {
    for wants in list(host)?.iter().filter(|name| name.ends_with(".wants")) {
        let link = directory().join(wants).join(name);
        if matches!(host.entry(&link)?, Entry::Link(_)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(host: &Host, name: &str) -> Result<String> {
    let path = directory().join(name);
    if !matches!(host.entry(&path)?, Entry::File { .. }) {
        return Ok(String::new());
    }
    let bytes = host
        .read(&path)
        .with_context(|| format!("{}: read", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines
        .find_map(|line| {
            line.trim()
                .strip_prefix(key)?
                .trim_start()
                .strip_prefix('=')
        })
        .map(str::trim)
}

//! Timers of others that run a deployment's scripts.
//!
//! Always true: systemd itself is asked, so that links, instances of templates and drop-ins count as it reads them; a timer is taken for one of
//! theirs when what it starts names the deployment's directory; our own never are.
//!
//! Does not: remove a file: a timer is switched off and on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cron::mentions;
use crate::host::{Entry, Host};
use crate::{systemd, units};

/// How long systemd may take for a list.
const ASK: Duration = Duration::from_secs(20);
/// What a service says of what it runs.
const RUNS: [&str; 9] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecStop",
    "ExecStopPost",
    "WorkingDirectory",
    "Environment",
    "EnvironmentFiles",
];

/// The names of those that are on: enabled, or running all the same.
///
/// # Errors
/// When systemd does not say.
pub fn on(host: &Host, dirs: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in all(host)? {
        let timer = show(host, &name, &["Unit", "UnitFileState", "ActiveState"])?;
        let of = |key: &str| timer.get(key).map_or("", String::as_str);
        let is_on = of("UnitFileState").starts_with("enabled") || of("ActiveState") == "active";
        if units::is_ours(&name) || !is_on || of("Unit").is_empty() {
            continue;
        }
        // one of the distribution's is not a script of this deployment
        let runs = show(host, of("Unit"), &RUNS)?;
        if runs.values().any(|said| mentions(said, dirs)) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Whether a timer's unit still is there.
///
/// # Errors
/// When systemd does not say.
pub fn is_there(host: &Host, name: &str) -> Result<bool> {
    let state = show(host, name, &["LoadState"])?;
    Ok(state
        .get("LoadState")
        .is_some_and(|state| state == "loaded"))
}

/// Whether it starts at boot.
///
/// # Errors
/// When systemd does not say.
pub fn is_enabled(host: &Host, name: &str) -> Result<bool> {
    let state = show(host, name, &["UnitFileState"])?;
    let state = state.get("UnitFileState");
    Ok(state.is_some_and(|state| state.starts_with("enabled")))
}

/// The file elsewhere that it is; `None`: it is where units are.
///
/// # Errors
/// When it cannot be looked at.
pub fn linked(host: &Host, name: &str) -> Result<Option<PathBuf>> {
    let path = Path::new("/").join(units::UNITS).join(name);
    let entry = host
        .entry(&path)
        .with_context(|| format!("{}: look at", path.display()))?;
    Ok(match entry {
        Entry::Link(target) => Some(target),
        _ => None,
    })
}

fn show(host: &Host, unit: &str, properties: &[&str]) -> Result<systemd::Properties> {
    let shown = systemd::show(host, unit, properties);
    shown.map_err(|why| anyhow::anyhow!("{unit}: {why}"))
}

/// Those that are loaded, and those that the next boot would load.
fn all(host: &Host) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for verb in [
        &["list-units", "--all"][..],
        &["list-unit-files", "--state=enabled,enabled-runtime"],
    ] {
        let flags = ["--type=timer", "--plain", "--no-legend", "--no-pager"];
        let argv = [&["systemctl"], verb, &flags].concat();
        let ran = host.run(&argv, None, ASK);
        let ran = ran.map_err(|error| anyhow::anyhow!("systemctl: {error}"))?;
        anyhow::ensure!(
            ran.code == 0,
            "systemctl {}: {}",
            verb.join(" "),
            ran.last_line()
        );
        let lines = ran.stdout.lines();
        let named = lines.filter_map(|line| line.split_whitespace().next());
        // a template is no timer that runs
        names.extend(
            named
                .filter(|name| name.ends_with(".timer") && !name.contains("@."))
                .map(str::to_owned),
        );
    }
    Ok(names)
}

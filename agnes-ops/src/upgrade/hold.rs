//! `upgrade hold` and `unhold`: a person's word that nothing is upgraded for now.
//!
//! Always true: a hold says why, since when and by whom; one whose time is over holds nothing.
//!
//! Does not: hold the server's writes (an upgrade does).

use std::path::PathBuf;

use agnes_config::{Runtime, Settings, UpgradeMode};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::deployment::Deployment;
use crate::host::Host;
use crate::outcome::{Outcome, Report, Steps};

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A person's reason.
    pub why: String,
    /// Who asked for it.
    pub by: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Until when; `None`: until `unhold`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

impl Hold {
    /// In words.
    pub fn sentence(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {}", stamp(until)),
            None => "until agnes-ops upgrade unhold".to_owned(),
        };
        format!(
            "on hold {until}, by {} since {}: {}",
            self.by,
            stamp(self.since),
            self.why
        )
    }
}

fn stamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/upgrade-hold.json")
}

/// The hold that is in force.
///
/// # Errors
/// When the file is there and says nothing that is understood: then nobody knows that there is none.
pub fn in_force(host: &Host, settings: &Settings) -> Result<Option<Hold>> {
    let hold = read(host, settings)?;
    let now = host.now();
    Ok(hold.filter(|hold| hold.until.is_none_or(|until| until > now)))
}

/// What the next tick will do, in words, without asking the registry.
///
/// # Errors
/// As [`in_force`].
pub fn next_tick(deployment: Deployment<'_>) -> Result<String> {
    let Deployment { host, settings, .. } = deployment;
    if settings.runtime == Runtime::Process {
        return Ok("none: AGNES_RUNTIME is process".to_owned());
    }
    if settings.upgrade.mode == UpgradeMode::Off {
        return Ok("none: upgrade.mode is off".to_owned());
    }
    if let Some(hold) = in_force(host, settings)? {
        return Ok(hold.sentence());
    }
    let now = host.now().unix_timestamp();
    let window = settings.upgrade.window.as_ref();
    let closed = window.filter(|window| !window.is_open(now, &settings.upgrade.zone));
    let opens = closed.and_then(|window| window.next_open(now, &settings.upgrade.zone));
    let opens = opens.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    Ok(match (settings.upgrade.mode, closed, opens) {
        (UpgradeMode::Manual, ..) => {
            "puts drift right; upgrades are a person's (upgrade.mode)".to_owned()
        }
        (_, Some(_), Some(at)) => format!(
            "puts drift right; upgrades from {} on (upgrade.window)",
            stamp(at)
        ),
        (_, Some(_), None) => {
            "puts drift right; upgrade.window does not open within a week".to_owned()
        }
        (_, None, _) => "asks the registry, and upgrades when something new is there".to_owned(),
    })
}

fn read(host: &Host, settings: &Settings) -> Result<Option<Hold>> {
    let path = path(settings);
    let failed = || format!("{}: read", path.display());
    let Some(bytes) = host.read(&path).with_context(failed)? else {
        return Ok(None);
    };
    let hold = serde_json::from_slice(&bytes);
    hold.map(Some)
        .with_context(|| format!("{}: is no hold of this program", path.display()))
}

/// Puts upgrades on hold; a hold that is there is replaced.
///
/// # Errors
/// When it cannot be written.
pub fn hold(
    deployment: Deployment<'_>,
    why: &str,
    by: &str,
    until: Option<OffsetDateTime>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let mut steps = Steps::begin(host.instant());
    let since = host.now().replace_nanosecond(0)?;
    let hold = Hold {
        why: why.to_owned(),
        by: by.to_owned(),
        since,
        until,
    };
    let path = path(settings);
    if let Some(directory) = path.parent() {
        host.make_dir(directory)?;
    }
    host.install(&path, &serde_json::to_vec_pretty(&hold)?, 0o644, None)?;
    steps.done("put upgrades on hold", host.instant());
    let mut report = Report::ok(Outcome::Changed, hold.sentence()).detail("hold", json!(hold));
    report.steps = steps.into_vec();
    Ok(report)
}

/// Takes the hold away.
///
/// # Errors
/// When it cannot be removed.
pub fn unhold(deployment: Deployment<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let path = path(settings);
    // also one that is not understood: this is how a person gets rid of it
    let there = host
        .read(&path)
        .with_context(|| format!("{}: read", path.display()))?;
    if there.is_none() {
        return Ok(Report::ok(Outcome::Unchanged, "upgrades were not on hold"));
    }
    let mut steps = Steps::begin(host.instant());
    host.remove_file(&path)?;
    steps.done("take the hold away", host.instant());
    let mut report = Report::ok(Outcome::Changed, "upgrades are no longer on hold");
    report.steps = steps.into_vec();
    Ok(report)
}

//! The host's systemd, where it has one.
//!
//! Always true: it is asked by `systemctl` with a deadline; a host without systemd is told from one whose systemd does not answer.
//!
//! Does not: know which units are ours (that is `units`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::host::{Host, RunError};

/// How long systemd may take for an answer.
const ASK: Duration = Duration::from_secs(10);
/// There while systemd is the host's first process.
const RUNNING: &str = "/run/systemd/system";

/// Whether systemd is the first process of this host.
pub fn is_running() -> bool {
    Path::new(RUNNING).is_dir()
}

/// Runs `systemctl <verb> -- <units>`.
///
/// # Errors
/// One clause.
pub fn act(host: &Host, verb: &str, units: &[&str], deadline: Duration) -> Result<(), String> {
    let mut argv = vec!["systemctl", verb];
    if !units.is_empty() {
        argv.push("--");
        argv.extend(units);
    }
    match host.run(&argv, None, deadline) {
        Ok(ran) if ran.code == 0 => Ok(()),
        // what follows its first line is advice
        Ok(ran) => Err(format!("systemctl {verb}: {}", ran.first_line())),
        Err(RunError::NoProgram) => Err("there is no systemctl program".to_owned()),
        Err(error) => Err(format!("systemctl {verb}: {error}")),
    }
}

/// Properties of a unit, by name; one that it does not have is empty.
pub type Properties = BTreeMap<String, String>;

/// Why a unit could not be looked at.
#[derive(Debug)]
pub enum Unseen {
    /// This host has no systemd.
    NoSystemd(String),
    /// It has one, and that did not answer.
    Failed(String),
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSystemd(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Looks at a unit.
///
/// # Errors
/// [`Unseen`].
pub fn show(host: &Host, unit: &str, properties: &[&str]) -> Result<Properties, Unseen> {
    let wanted = format!("--property={}", properties.join(","));
    let argv = ["systemctl", "show", &wanted, "--", unit];
    let ran = match host.run(&argv, None, ASK) {
        Ok(ran) if ran.code == 0 => ran,
        Ok(ran) => {
            let why = format!("no systemd answers: {}", ran.last_line());
            return Err(Unseen::NoSystemd(why));
        }
        Err(RunError::NoProgram) => {
            return Err(Unseen::NoSystemd("there is no systemctl program".into()));
        }
        Err(error) => return Err(Unseen::Failed(format!("systemctl: {error}"))),
    };
    let lines = ran.stdout.lines().filter_map(|line| line.split_once('='));
    let mut found: Properties = lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for name in properties {
        found.entry((*name).to_owned()).or_default();
    }
    Ok(found)
}

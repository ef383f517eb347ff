//! What somebody has to be told: one file for each finding, in `$STATE_DIR/ops/alerts/`.
//!
//! Always true: a finding that is seen again is the same file, with how often and since when; one that is gone says when it went;
//! what cannot be kept on the data disk is kept in `/run/agnes`, so that a missing disk is told too.
//!
//! Does not: find anything.

mod delivery;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

pub use delivery::{Delivery, deliver, has_receivers, heartbeat, overdue, reach_mail};

use crate::host::Host;
use crate::sha256::sha256;
use crate::state_file;

/// Where findings are kept that the data disk does not take.
const WITHOUT_DISK: &str = "/run/agnes/alerts";

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The check's, as `doctor` has it.
    pub id: String,
    /// What it is about: a unit, a file; may be empty.
    pub object: String,
    /// `critical` or `warning`.
    pub severity: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub next: String,
    /// Where that is explained.
    pub runbook: String,
}

/// That somebody took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Whether that it is over.
    pub resolved: bool,
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The finding as it was last seen.
    #[serde(flatten)]
    pub alert: Alert,
    /// `DOMAIN`, or the deployment's directory where the settings do not say.
    pub deployment: String,
    /// Its directory.
    pub dir: PathBuf,
    /// RFC 3339, UTC.
    pub first_at: String,
    /// RFC 3339, UTC.
    pub last_at: String,
    /// How often it was seen.
    pub times: u64,
    /// Since when it is not seen any more; absent: it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// It happened, and is told once: it does not last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub event: bool,
    /// Since when a receiver does not take what there is to be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// Who took it last, by receiver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Told>,
}

/// Where the alerts of one deployment are.
#[derive(Debug)]
pub struct Outbox<'a> {
    /// What the deployment is called.
    pub deployment: &'a str,
    /// Its directory, by which it is told from others.
    pub dir: &'a Path,
    /// `STATE_DIR`; `None`: the settings do not say.
    pub state_dir: Option<&'a Path>,
}

impl Outbox<'_> {
    /// All places where findings are.
    pub fn directories(&self) -> Vec<PathBuf> {
        let own = self.state_dir.map(directory);
        own.into_iter()
            .chain([PathBuf::from(WITHOUT_DISK)])
            .collect()
    }
}

/// Keeps a finding.
///
/// # Errors
/// When neither place takes it.
pub fn raise(host: &Host, outbox: &Outbox<'_>, alert: &Alert) -> Result<Kept> {
    let own = match outbox.state_dir {
        // a disk that is missing is not made up for by a directory of its name
        Some(state_dir) if state_dir.is_dir() => directory(state_dir),
        _ => return raise_in(host, Path::new(WITHOUT_DISK), outbox, alert),
    };
    raise_in(host, &own, outbox, alert).or_else(|why| {
        tracing::warn!("{}: {why:#}", own.display());
        raise_in(host, Path::new(WITHOUT_DISK), outbox, alert)
    })
}

fn raise_in(host: &Host, directory: &Path, outbox: &Outbox<'_>, alert: &Alert) -> Result<Kept> {
    let path = directory.join(file_name(outbox, directory, alert));
    // one that is not understood is written over: the finding counts, and not its history
    let before: Option<Kept> = state_file::read(host, &path).ok().flatten();
    let before = before.filter(|kept| kept.resolved_at.is_none());
    let now = now(host);
    let kept = Kept {
        alert: alert.clone(),
        deployment: outbox.deployment.to_owned(),
        dir: outbox.dir.to_owned(),
        first_at: before
            .as_ref()
            .map_or_else(|| now.clone(), |kept| kept.first_at.clone()),
        last_at: now,
        times: before
            .as_ref()
            .map_or(1, |kept| kept.times.saturating_add(1)),
        resolved_at: None,
        event: false,
        refused: before
            .as_ref()
            .map(|kept| kept.refused.clone())
            .unwrap_or_default(),
        told: before.map(|kept| kept.told).unwrap_or_default(),
    };
    state_file::write(host, &path, &kept)?;
    Ok(kept)
}

/// Keeps that something happened, until everybody was told; the same while it waits is nothing new.
///
/// # Errors
/// When neither place takes it.
pub fn tell_once(host: &Host, outbox: &Outbox<'_>, alert: &Alert) -> Result<()> {
    let own = outbox
        .state_dir
        .filter(|state_dir| state_dir.is_dir())
        .map(directory);
    let without = PathBuf::from(WITHOUT_DISK);
    let directory = own.unwrap_or(without);
    let path = directory.join(file_name(outbox, &directory, alert));
    let now = now(host);
    // the same that somebody was told of before, and that happened once more, is news
    let waits = |kept: &Kept| kept.told.is_empty();
    if state_file::read::<Kept>(host, &path)
        .ok()
        .flatten()
        .is_some_and(|kept| waits(&kept))
    {
        return Ok(());
    }
    state_file::write(
        host,
        &path,
        &Kept {
            alert: alert.clone(),
            deployment: outbox.deployment.to_owned(),
            dir: outbox.dir.to_owned(),
            first_at: now.clone(),
            last_at: now.clone(),
            times: 1,
            resolved_at: Some(now),
            event: true,
            refused: BTreeMap::new(),
            told: BTreeMap::new(),
        },
    )
}

/// Says of every open finding that `seen` lacks, and that `is_judged`, that it is gone; how many those were.
///
/// # Errors
/// When that cannot be written.
pub fn resolve(
    host: &Host,
    outbox: &Outbox<'_>,
    seen: &[Alert],
    is_judged: impl Fn(&Kept) -> bool,
) -> Result<usize> {
    let mut gone = 0;
    let mut paths = Vec::new();
    for directory in outbox.directories() {
        for name in host.list(&directory)? {
            paths.push(directory.join(name));
        }
    }
    for path in paths {
        let Ok(Some(mut kept)) = state_file::read::<Kept>(host, &path) else {
            continue;
        };
        let same = |alert: &Alert| alert.id == kept.alert.id && alert.object == kept.alert.object;
        // another deployment's are in the same place while a disk is away
        if kept.dir != outbox.dir {
            continue;
        }
        if kept.resolved_at.is_some() || !is_judged(&kept) || seen.iter().any(same) {
            continue;
        }
        kept.resolved_at = Some(now(host));
        // a disk that takes nothing keeps nobody from being told what is there
        match state_file::write(host, &path, &kept) {
            Ok(()) => gone += 1,
            Err(why) => tracing::warn!("{}: {why:#}", path.display()),
        }
    }
    Ok(gone)
}

/// What is kept of this deployment and not over.
pub fn open(host: &Host, outbox: &Outbox<'_>) -> Vec<Kept> {
    let directories = outbox.directories().into_iter();
    let paths = directories.flat_map(|directory| {
        let names = host.list(&directory).unwrap_or_default().into_iter();
        names.map(move |name| directory.join(name))
    });
    paths
        .filter_map(|path| state_file::read::<Kept>(host, &path).ok().flatten())
        .filter(|kept| kept.dir == outbox.dir && kept.resolved_at.is_none())
        .collect()
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("ops/alerts")
}

/// A name of its own for each finding, of characters that a file name may have; where the alerts of several deployments are, for each of theirs.
fn file_name(outbox: &Outbox<'_>, directory: &Path, alert: &Alert) -> String {
    let mut parts = vec![plain(&alert.id)];
    if !alert.object.is_empty() {
        parts.push(plain(&alert.object));
    }
    if directory == Path::new(WITHOUT_DISK) {
        parts.push(plain(&outbox.dir.display().to_string()));
    }
    format!("{}.json", parts.join("--"))
}

/// A text that is changed for that says which it was.
fn plain(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._@-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(80)
        .collect();
    match plain == text {
        true => plain,
        false => format!(
            "{plain}-{}",
            sha256(text.as_bytes()).get(..8).unwrap_or_default()
        ),
    }
}

fn now(host: &Host) -> String {
    host.now().format(&Rfc3339).unwrap_or_default()
}

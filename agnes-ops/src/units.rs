//! The host's units: timers that run this program, the boot, the alert, and the server where it runs without Docker.
//!
//! Always true: install converges both ways (B09): what is wanted is there, enabled and running, what is not wanted is gone; what a person
//! changed in a file of ours is kept beside it; drop-ins and masks are people's and stay.
//!
//! Does not: know what the units' commands do.

mod catalogue;
mod install;
mod plan;
mod status;

use std::path::{Path, PathBuf};

use agnes_config::Settings;
use anyhow::{Context as _, Result};

pub use install::{Options, install, remove, user as server_user};
pub use status::{Finding, findings, status};

use crate::host::{Entry, Host};

/// Where an administrator's units are, below the root.
pub const UNITS: &str = "etc/systemd/system";
/// The timers, and the record of what each runs.
pub const TIMERS: [(&str, &str); 5] = [
    ("agnes-tls-rotate", "tls-rotate"),
    ("agnes-secrets", "secrets-ensure"),
    ("agnes-snapshot", "snapshot-create"),
    ("agnes-upgrade", "upgrade"),
    ("agnes-drill", "snapshot-drill"),
];
/// Where users of the system are declared.
const SYSUSERS: &str = "etc/sysusers.d/agnes.conf";
/// What the units run.
const PROGRAM: &str = "usr/local/bin/agnes-ops";
/// What `agnesd.service` runs.
const SERVER_PROGRAM: &str = "usr/local/bin/agnesd";

/// The host's file system, or a tree that looks like one.
#[derive(Debug, Clone, Copy)]
pub struct Root<'a>(Option<&'a Path>);

impl<'a> Root<'a> {
    /// `None`: this host.
    pub fn new(root: Option<&'a Path>) -> Self {
        Self(root)
    }

    /// A path without its leading slash, below it.
    pub fn path(self, below: &str) -> PathBuf {
        self.0.unwrap_or_else(|| Path::new("/")).join(below)
    }

    /// The settings as they are called once the tree is somebody's root.
    fn inside(self, settings: &Settings) -> Settings {
        let mut inside = settings.clone();
        for path in [&mut inside.dir, &mut inside.data_dir, &mut inside.state_dir] {
            if let Some(below) = self.0.and_then(|root| path.strip_prefix(root).ok()) {
                *path = Path::new("/").join(below);
            }
        }
        inside
    }

    /// A unit's file.
    pub fn unit(self, name: &str) -> PathBuf {
        self.path(UNITS).join(name)
    }

    /// Whether it is this host and no tree.
    pub fn is_this_host(self) -> bool {
        self.0.is_none()
    }

    /// Whether systemd can be told: it runs, and the tree is its own.
    pub fn is_live(self) -> bool {
        self.0.is_none() && crate::systemd::is_running()
    }
}

/// Whether a unit is one of those that are shipped.
pub fn is_ours(name: &str) -> bool {
    catalogue::ALL.iter().any(|unit| unit.name == name)
}

/// The files that these settings ask for, by path below the root.
///
/// # Errors
/// A path that cannot stand in a unit.
pub fn rendered(settings: &Settings) -> Result<Vec<(String, String)>, String> {
    let wanted = plan::desired(settings, plan::Purpose::Install)?;
    let files = wanted.files.into_iter();
    Ok(files
        .filter_map(|file| Some((file.path, file.text?)))
        .collect())
}

/// What stands in a unit's place.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Absent,
    /// A file, with its text.
    File(Vec<u8>),
    /// The same, and others than its owner may write it, or it is not ours: whoever may write a unit is root.
    Open(Vec<u8>),
    /// A person wants it never to run.
    Masked,
    /// Neither of them: somebody's, and no guess is made. What it is.
    Odd(String),
}

/// Looks at a unit's file.
///
/// # Errors
/// When it cannot be looked at.
fn look(host: &Host, path: &Path) -> Result<Found> {
    let named = || format!("{}: look at", path.display());
    let entry = match host.entry(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Ok(Found::Odd("is below what is no directory".to_owned()));
        }
        entry => entry.with_context(named)?,
    };
    match entry {
        Entry::Absent => Ok(Found::Absent),
        Entry::File { .. } => {
            let bytes = host.read(path).with_context(named)?;
            let found = host.owner_and_mode(path).with_context(named)?;
            let open = found.is_some_and(|(owner, mode)| host.is_open(owner, mode));
            let kind = if open { Found::Open } else { Found::File };
            Ok(bytes.map_or(Found::Absent, kind))
        }
        Entry::Link(target) if target == Path::new("/dev/null") => Ok(Found::Masked),
        Entry::Link(target) => Ok(Found::Odd(format!(
            "is a link to {}, which is not ours",
            target.display()
        ))),
        _ => Ok(Found::Odd("is no file".to_owned())),
    }
}

/// Those of a deployment in the usual place with this `agnes.toml`.
#[cfg(test)]
fn settings(toml: &str) -> Settings {
    let loaded = agnes_config::load_texts(Path::new("/opt/agnes"), toml, b"");
    loaded.settings.expect("settings")
}

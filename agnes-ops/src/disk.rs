//! The data disk: is it the one that was declared, and is it there?
//!
//! Always true: reads only; a disk counts when the directories are on the declared device and its sentinel is the one that this host knows (B02).
//!
//! Does not: format or mount (`boot` does), or look at a disk that is not mounted.

use std::path::{Path, PathBuf};

use agnes_config::Settings;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::host::{Entry, Host};
use crate::host_record::HostRecord;
use crate::state_file;

/// On the data disk: which disk this is.
const SENTINEL: &str = ".agnes-disk.json";

/// Which disk this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// 32 hexadecimal digits, made once.
    pub id: String,
    /// RFC 3339, UTC.
    pub made_at: String,
}

impl Sentinel {
    /// Where it is, below the disk's mount point.
    pub fn path(mount_point: &Path) -> PathBuf {
        mount_point.join(SENTINEL)
    }

    /// The one of a disk; `None`: it has none.
    ///
    /// # Errors
    /// When it is there and not understood.
    pub fn read(host: &Host, mount_point: &Path) -> Result<Option<Self>> {
        state_file::read(host, &Self::path(mount_point))
    }
}

/// Whether the data is where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No device is declared: that is not looked at.
    NotDeclared,
    /// It is.
    Proven,
    /// It is not, or that cannot be seen: why.
    NotProven(String),
}

/// Looks.
pub fn look(host: &Host, settings: &Settings) -> State {
    let Some(device) = &settings.machine.data_device else {
        return State::NotDeclared;
    };
    match prove(host, settings, device) {
        Ok(()) => State::Proven,
        Err(why) => State::NotProven(format!("host.data_device {}: {why:#}", device.display())),
    }
}

/// Whether a process, such as a container's first, sees the disk at `/data`: its own view of its files is looked at.
///
/// # Errors
/// When a sentinel cannot be read.
pub fn is_seen_by(host: &Host, settings: &Settings, pid: i32) -> Result<bool> {
    let known = Sentinel::read(host, &settings.data_dir)?;
    let of_process = Path::new("/proc").join(pid.to_string());
    let seen = of_process.join("root").join("data");
    Ok(Sentinel::read(host, &seen)? == known)
}

fn prove(host: &Host, settings: &Settings, device: &Path) -> Result<()> {
    for directory in [&settings.data_dir, &settings.state_dir] {
        // the state's directory may not have been made yet: it will be on the data's disk
        if directory != &settings.data_dir && is_absent_below(host, directory, &settings.data_dir) {
            continue;
        }
        let is_on = host.is_on(directory, device);
        anyhow::ensure!(
            is_on.with_context(|| format!("{}: look at", directory.display()))?,
            "{} is not on it",
            directory.display()
        );
    }
    let known = HostRecord::read(host, &settings.dir)?.disk;
    let there = Sentinel::read(host, &settings.data_dir)?;
    match (known, there) {
        // a host that boot never ran on has neither
        (None, _) => Ok(()),
        (Some(known), Some(there)) if known == there.id => Ok(()),
        (Some(known), there) => anyhow::bail!(
            "another disk than before: this host knows the one with {known}, and this one has {}",
            there.map_or("no sentinel".to_owned(), |there| there.id)
        ),
    }
}

fn is_absent_below(host: &Host, directory: &Path, above: &Path) -> bool {
    directory.starts_with(above) && matches!(host.entry(directory), Ok(Entry::Absent))
}

//! The file systems that the deployment lives on.
//!
//! Always true: each file system is told once, however many of our directories are on it.
//!
//! Does not: remove anything.

use std::path::PathBuf;

use agnes_config::Settings;

use super::{Found, Patient, Seen};
use crate::disk::{self, State};
use crate::host::FileSystem;
use crate::snapshot;

/// Where the engine keeps images and volumes when nobody says otherwise.
const DOCKER: &str = "/var/lib/docker";
/// Below this share of its bytes or inodes a file system is as good as full.
const LEAST_PERCENT: u64 = 5;

pub(super) fn mounted(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    match disk::look(patient.host(), settings) {
        State::Proven => Seen::Passed,
        State::NotDeclared => Seen::Unchecked("host.data_device is not set".to_owned()),
        State::NotProven(why) => {
            let next = format!("agnes-ops -C {} boot", settings.dir.display());
            Seen::found(settings.data_dir.display().to_string(), why, next)
        }
    }
}

pub(super) fn writable(patient: &Patient<'_>) -> Seen {
    // others are read-only for our own units on purpose
    each(patient, own_places, |one| {
        one.read_only.then(|| {
            (
                "is mounted read-only".to_owned(),
                "find out why (dmesg: an error of the disk makes it so), then mount it for writing"
                    .to_owned(),
            )
        })
    })
}

pub(super) fn space(patient: &Patient<'_>) -> Seen {
    each(patient, places, |one| {
        is_low(one.bytes_free, one.bytes).then(|| {
            let evidence = format!(
                "{} MiB of {} MiB are free",
                one.bytes_free >> 20,
                one.bytes >> 20
            );
            let next = "find what fills it (du -xh --max-depth=2), make room, or make it larger and agnes-ops boot";
            (evidence, next.to_owned())
        })
    })
}

pub(super) fn inodes(patient: &Patient<'_>) -> Seen {
    each(patient, places, |one| {
        is_low(one.inodes_free, one.inodes).then(|| {
            let evidence = format!("{} of {} inodes are free", one.inodes_free, one.inodes);
            let next =
                "find what has so many files (du --inodes -x --max-depth=2), and remove them";
            (evidence, next.to_owned())
        })
    })
}

/// A file system that does not say how much it has is never low.
fn is_low(free: u64, all: u64) -> bool {
    u128::from(free) * 100 < u128::from(all) * u128::from(LEAST_PERCENT)
}

fn each(
    patient: &Patient<'_>,
    of: fn(&Settings) -> Vec<PathBuf>,
    judge: impl Fn(&FileSystem) -> Option<(String, String)>,
) -> Seen {
    let settings = patient.settings();
    let mut found = Vec::new();
    match patient.host().file_systems(&of(settings)) {
        Err(why) => return Seen::Unchecked(why.to_string()),
        Ok(all) => {
            for one in all {
                if let Some((evidence, next)) = judge(&one) {
                    found.push(Found {
                        object: one.at.display().to_string(),
                        evidence,
                        next,
                    });
                }
            }
        }
    }
    Seen::of(found)
}

/// What is not there yet is on the file system that it will be made on.
fn own_places(settings: &Settings) -> Vec<PathBuf> {
    vec![
        settings.state_dir.clone(),
        settings.data_dir.clone(),
        snapshot::directory(settings),
        settings.dir.clone(),
    ]
}

fn places(settings: &Settings) -> Vec<PathBuf> {
    let mut all = own_places(settings);
    all.extend(["/", "/tmp"].map(PathBuf::from));
    if settings.runtime == agnes_config::Runtime::Compose {
        all.push(PathBuf::from(DOCKER));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_low_below_a_twentieth() {
        assert!(is_low(4, 100) && !is_low(5, 100));
        assert!(is_low(0, 1) && !is_low(0, 0));
        assert!(!is_low(u64::MAX, u64::MAX));
    }
}

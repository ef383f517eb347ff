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
use crate::snapshot::{self, ForTheNext};

/// Where the engine keeps images and volumes when nobody says otherwise.
const DOCKER: &str = "/var/lib/docker";
/// Below this share of its bytes or inodes a file system is as good as full …
const LEAST_PERCENT: u64 = 5;
/// … unless it has still so many bytes: 5 % of a large disk are room for a long time. An image and its snapshot take less.
const AMPLE_BYTES: u64 = 4 << 30;
/// … or inodes: what a deployment makes in its life.
const AMPLE_INODES: u64 = 100_000;

const MAKE_ROOM: &str =
    "find what fills it (du -xh --max-depth=2), make room, or make it larger and agnes-ops boot";

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
    let seen = each(patient, places, |one| {
        is_low(one.bytes_free, one.bytes, AMPLE_BYTES).then(|| {
            let evidence = format!(
                "{} MiB of {} MiB are free",
                one.bytes_free >> 20,
                one.bytes >> 20
            );
            (evidence, MAKE_ROOM.to_owned())
        })
    });
    match seen {
        // it may be large enough for all but the next snapshot
        Seen::Passed => for_a_snapshot(patient),
        seen => seen,
    }
}

fn for_a_snapshot(patient: &Patient<'_>) -> Seen {
    match snapshot::for_the_next(patient.deployment()) {
        Ok(ForTheNext::Short(why)) => {
            let object = snapshot::directory(patient.settings());
            let evidence = format!("the next snapshot is refused: {why}");
            Seen::found(object.display().to_string(), evidence, MAKE_ROOM)
        }
        Ok(ForTheNext::Enough | ForTheNext::NoDatabase(_)) => Seen::Passed,
        Err(why) => Seen::Unchecked(format!("{why:#}")),
    }
}

pub(super) fn inodes(patient: &Patient<'_>) -> Seen {
    each(patient, places, |one| {
        is_low(one.inodes_free, one.inodes, AMPLE_INODES).then(|| {
            let evidence = format!("{} of {} inodes are free", one.inodes_free, one.inodes);
            let next =
                "find what has so many files (du --inodes -x --max-depth=2), and remove them";
            (evidence, next.to_owned())
        })
    })
}

/// A file system that does not say how much it has is never low.
fn is_low(free: u64, all: u64, ample: u64) -> bool {
    free < ample && u128::from(free) * 100 < u128::from(all) * u128::from(LEAST_PERCENT)
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
    fn a_disk_is_low_below_a_twentieth_unless_that_is_ample() {
        let is_low = |free, all| is_low(free, all, 1000);
        assert!(is_low(4, 100) && !is_low(5, 100));
        assert!(is_low(0, 1) && !is_low(0, 0));
        assert!(!is_low(u64::MAX, u64::MAX));
        // however large it is
        assert!(is_low(999, 1_000_000) && !is_low(1000, 1_000_000));
    }
}

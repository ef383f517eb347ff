//! Owners and modes of the deployment's files, and whether our own can be read.
//!
//! Always true: what is stricter than it has to be is a person's, and stays; only what was found is mended.
//!
//! Does not: look below the directories that are named here.

use std::io;
use std::path::{Path, PathBuf};

use agnes_config::Settings;
use serde_json::Value;

use super::{Found, Patient, Seen, server};
use crate::directories::{self, Directory};
use crate::host::{Entry, Host};

pub(super) fn owner(patient: &Patient<'_>) -> Seen {
    let (settings, host) = (patient.settings(), patient.host());
    // whoever is not root has a deployment of his own
    if !host.is_root() {
        return Seen::Unchecked("this is not root".to_owned());
    }
    let dir = settings.dir.display();
    let list = match directories::wanted(host, settings) {
        Ok(list) => list,
        Err(why) => return Seen::Unchecked(format!("{why:#}")),
    };
    // a deployment that looks after certificates alone has no server whose they would be
    let owners = server::is_expected(patient);
    let mut found = Vec::new();
    for one in list {
        match directories::wrong_now(host, &one, owners) {
            Ok(None) => {}
            Ok(Some((owner, mode))) => found.push(Found {
                object: one.path.display().to_string(),
                evidence: format!(
                    "is {}:{} {mode:04o} (expected {}:{} {:04o})",
                    owner.uid, owner.gid, one.owner.uid, one.owner.gid, one.mode
                ),
                next: format!("agnes-ops -C {dir} doctor files --fix"),
            }),
            Err(why) => return Seen::Unchecked(format!("{}: {why}", one.path.display())),
        }
    }
    for (path, forbidden) in guarded(settings) {
        let Ok(Some((_, mode))) = host.owner_and_mode(&path) else {
            continue;
        };
        if mode & forbidden != 0 {
            found.push(Found {
                object: path.display().to_string(),
                evidence: format!("has mode {mode:04o}: others than its owner may use it"),
                next: format!(
                    "look who did that, then: chmod {:04o} {}",
                    mode & 0o7777 & !forbidden,
                    path.display()
                ),
            });
        }
    }
    Seen::of(found)
}

/// What is not on the list of directories, and the bits that nobody may have given.
fn guarded(settings: &Settings) -> Vec<(PathBuf, u32)> {
    let state = |below: &str| settings.state_dir.join(below);
    vec![
        (state("certs"), 0o022),
        (state("secrets"), 0o022),
        (state("secrets/live"), 0o022),
        (state("system.duckdb"), 0o077),
        (state("audit.key"), 0o077),
        (settings.data_dir.join("run"), 0o022),
        (settings.data_dir.join("run/agnesd.sock"), 0o022),
    ]
}

/// The directories of the list that are wrong, as they are set right: never more open than they are.
///
/// # Errors
/// When the host cannot be looked at.
pub fn to_mend(patient: &Patient<'_>, settings: &Settings) -> anyhow::Result<Vec<Directory>> {
    let host = patient.host();
    let owners = server::is_expected(patient);
    let mut list = Vec::new();
    for one in directories::wanted(host, settings)? {
        if let Some((owner, mode)) = directories::wrong_now(host, &one, owners)? {
            let owner = if owners { one.owner } else { owner };
            let mode = mode & one.mode | one.mode & 0o700;
            list.push(Directory { owner, mode, ..one });
        }
    }
    Ok(list)
}

/// Records, journals and ledgers: every command that needs one that is broken ends before it does anything.
pub(super) fn books(patient: &Patient<'_>) -> Seen {
    let (settings, host) = (patient.settings(), patient.host());
    let mut found = Vec::new();
    for file in [
        settings.dir.join(".lock"),
        settings.state_dir.join("agnesd.pid"),
    ] {
        if matches!(
            host.entry(&file),
            Ok(Entry::Directory | Entry::Other | Entry::Link(_))
        ) {
            found.push(broken(&file, "is no file"));
        }
    }
    let mut files = vec![
        settings.dir.join(".host.json"),
        settings.dir.join(".adopted.json"),
    ];
    files.push(settings.state_dir.join("ops/upgrade-hold.json"));
    files.push(settings.state_dir.join("ops/applied.json"));
    for name in ["status", "journal", "ledger", "alerts"] {
        let directory = settings.state_dir.join("ops").join(name);
        match host.list(&directory) {
            Ok(names) => files.extend(
                names
                    .iter()
                    .filter(|name| name.ends_with(".json"))
                    .map(|name| directory.join(name)),
            ),
            Err(why) if is_for_root(host, &why) => return not_as_root(),
            Err(why) => found.push(broken(&directory, &why.to_string())),
        }
    }
    for file in files {
        match unreadable(host, &file) {
            Ok(Some(why)) => found.push(broken(&file, &why)),
            Ok(None) => {}
            Err(why) if is_for_root(host, &why) => return not_as_root(),
            Err(why) => found.push(broken(&file, &why.to_string())),
        }
    }
    Seen::of(found)
}

/// What only root may read says nothing to anybody else.
fn is_for_root(host: &Host, why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::PermissionDenied && !host.is_root()
}

fn not_as_root() -> Seen {
    Seen::Unchecked("not as root: some of it may not be read".to_owned())
}

/// Why a file is none of ours.
fn unreadable(host: &Host, file: &Path) -> io::Result<Option<String>> {
    Ok(match host.entry(file)? {
        Entry::Absent => None,
        Entry::File { .. } => match host.read(file)? {
            // a journal is empty when none is open
            Some(bytes) if bytes.is_empty() => None,
            Some(bytes) => serde_json::from_slice::<Value>(&bytes)
                .err()
                .map(|why| format!("is no file of this program: {why}")),
            None => None,
        },
        _ => Some("is no file".to_owned()),
    })
}

fn broken(path: &Path, why: &str) -> Found {
    Found {
        object: path.display().to_string(),
        evidence: why.to_owned(),
        next: format!(
            "look at it, and put it aside: mv {0} {0}.aside",
            path.display()
        ),
    }
}

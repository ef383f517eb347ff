//! The documented paths of the pair, as a host's scripts had them: files with an owner and a mode, links elsewhere, or nothing.
//!
//! Always true: what is given back is what was found in kind, owner and mode, with the bytes that are served now; a link whose file is gone
//! meanwhile becomes a file.
//!
//! Does not: take them over (`tls rotate` does).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agnes_config::FileOwner;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::host::{Entry, Host};

/// Their names.
pub const NAMES: [&str; 2] = ["fullchain.pem", "privkey.pem"];

/// How one of them was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Was {
    /// A regular file.
    File {
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A link to somewhere else.
    Link(PathBuf),
}

/// Those that are there by name, but for links of ours.
///
/// # Errors
/// When one cannot be looked at.
pub fn found(host: &Host, certs: &Path) -> Result<BTreeMap<String, Was>> {
    let mut all = BTreeMap::new();
    for name in NAMES {
        let path = certs.join(name);
        let named = || format!("{}: look at", path.display());
        let was = match host.entry(&path).with_context(named)? {
            Entry::Link(target) if target.starts_with("current") => continue,
            Entry::Link(target) => Was::Link(target),
            Entry::File { .. } => match host.owner_and_mode(&path).with_context(named)? {
                Some((FileOwner { uid, gid }, mode)) => Was::File { uid, gid, mode },
                None => continue,
            },
            _ => continue,
        };
        all.insert(name.to_owned(), was);
    }
    Ok(all)
}

/// What has to be done to one of them.
#[derive(Debug, PartialEq, Eq)]
pub enum Back {
    /// Nothing: it is no link of ours any more, or there was none.
    Stays,
    /// It was not there.
    Remove,
    /// It was a link.
    Link(PathBuf),
    /// It was a file, of this owner and mode.
    File {
        /// Where its bytes are now.
        from: PathBuf,
        /// `None`: of whom the bytes are.
        owner: Option<FileOwner>,
        /// Its permission bits.
        mode: u32,
    },
}

/// How one of them goes back to what `was` says of both.
///
/// # Errors
/// When it cannot be looked at.
pub fn back(host: &Host, certs: &Path, was: &BTreeMap<String, Was>, name: &str) -> Result<Back> {
    let path = certs.join(name);
    let entry = host.entry(&path);
    let entry = entry.with_context(|| format!("{}: look at", path.display()))?;
    let is_persons = match &entry {
        Entry::Absent => !was.contains_key(name),
        Entry::Link(target) => !target.starts_with("current"),
        _ => true,
    };
    if was.is_empty() || is_persons {
        return Ok(Back::Stays);
    }
    let served = certs.join("current").join(name);
    Ok(match was.get(name) {
        None => Back::Remove,
        Some(Was::Link(target)) if certs.join(target).is_file() => Back::Link(target.clone()),
        Some(Was::Link(_)) => Back::File {
            from: served,
            owner: None,
            mode: if name == "privkey.pem" { 0o600 } else { 0o644 },
        },
        Some(Was::File { uid, gid, mode }) => {
            // half a pair was never served, and was set aside
            let aside = certs.join("pending").join(format!("adopted-{name}"));
            let from = match was.len() < NAMES.len() && aside.is_file() {
                true => aside,
                false => served,
            };
            let owner = FileOwner {
                uid: *uid,
                gid: *gid,
            };
            Back::File {
                from,
                owner: Some(owner),
                mode: *mode,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory whose documented paths are links of ours.
    fn taken() -> tempfile::TempDir {
        let certs = tempfile::tempdir().unwrap();
        for name in NAMES {
            symlink(Path::new("current").join(name), certs.path().join(name)).unwrap();
        }
        certs
    }

    #[test]
    fn each_goes_back_to_what_it_was() {
        let certs = taken();
        let host = Host::of_tests();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        let link = Was::Link(elsewhere.path().to_owned());
        let was = BTreeMap::from([
            ("fullchain.pem".to_owned(), link),
            (
                "privkey.pem".to_owned(),
                Was::Link("/gone/privkey.pem".into()),
            ),
        ]);
        let back =
            |was: &BTreeMap<String, Was>, name| back(&host, certs.path(), was, name).unwrap();
        assert_eq!(
            back(&was, "fullchain.pem"),
            Back::Link(elsewhere.path().to_owned())
        );
        let Back::File { from, mode, .. } = back(&was, "privkey.pem") else {
            panic!("a link to nothing");
        };
        assert!(from.ends_with("current/privkey.pem"));
        assert_eq!(mode, 0o600);

        let half = Was::File {
            uid: 1,
            gid: 2,
            mode: 0o640,
        };
        let was = BTreeMap::from([("privkey.pem".to_owned(), half)]);
        assert_eq!(back(&was, "fullchain.pem"), Back::Remove);
        std::fs::create_dir(certs.path().join("pending")).unwrap();
        std::fs::write(certs.path().join("pending/adopted-privkey.pem"), "key").unwrap();
        let Back::File { from, owner, mode } = back(&was, "privkey.pem") else {
            panic!("half a pair");
        };
        assert!(from.ends_with("pending/adopted-privkey.pem"));
        assert_eq!((owner, mode), (Some(FileOwner { uid: 1, gid: 2 }), 0o640));

        // there was nothing, or it is a person's again
        std::fs::remove_file(certs.path().join("fullchain.pem")).unwrap();
        assert_eq!(back(&was, "fullchain.pem"), Back::Stays);
        assert_eq!(back(&BTreeMap::new(), "privkey.pem"), Back::Stays);
        std::fs::remove_file(certs.path().join("privkey.pem")).unwrap();
        std::fs::write(certs.path().join("privkey.pem"), "theirs").unwrap();
        assert_eq!(back(&was, "privkey.pem"), Back::Stays);
    }
}

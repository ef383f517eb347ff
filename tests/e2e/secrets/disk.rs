//! Secrets on a disk that is full, and on one whose writes fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agnes_e2e::components::{is_soak, require, seed};
use agnes_e2e::deployment::Deployment;

use super::{EDITED, OWN, Tree, all_agree, current, ensure, live, replace, tree, value};
use crate::injected::injected;
use crate::small_disk::SmallDisk;

/// A host with its secrets on a small disk of its own.
fn small() -> Option<(tempfile::TempDir, SmallDisk, Deployment)> {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(directory.path(), 4)?;
    let deployment = Deployment::at(directory.path()).with("AGNES_RUNTIME", "process");
    ensure(&deployment).exits(0);
    Some((directory, disk, deployment))
}

/// The files that are not as they were.
fn changed(before: &Tree, deployment: &Deployment) -> BTreeSet<PathBuf> {
    let now = tree(deployment);
    let names = before.keys().chain(now.keys());
    let differs = names.filter(|name| before.get(*name) != now.get(*name));
    differs.cloned().collect()
}

#[test]
fn a_full_disk_changes_no_secret_and_the_next_run_with_room_finishes() {
    let Some((_directory, disk, deployment)) = small() else {
        return;
    };
    let old = value(&deployment, "JWT_SECRET_KEY").unwrap();
    disk.fill();
    let before = tree(&deployment);
    for verb in [["rotate", "jwt"], ["rotate", "scheduler"]] {
        let ran = deployment.ops(&["secrets", verb[0], verb[1]]).exits(1);
        assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
        let said = ran
            .stderr
            .lines()
            .filter(|line| line.starts_with("agnes-ops: "));
        assert_eq!(said.count(), 1, "{}", ran.stderr);
        assert_eq!(changed(&before, &deployment), BTreeSet::new(), "{verb:?}");
    }
    disk.free();
    all_agree(&deployment);
    assert_eq!(value(&deployment, "JWT_SECRET_KEY").unwrap(), old);

    replace(&deployment, "JWT_SECRET_KEY", EDITED);
    // what was given back is free some time after the journal was written; only an unmount waits for that
    crate::small_disk::run(std::process::Command::new("umount").arg(&disk.at)).unwrap();
    disk.attach().unwrap();
    disk.fill();
    let ran = ensure(&deployment).exits(1);
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
    // a block that the file system finds after all takes it a step further, and never leaves half a value
    let places = [
        current(&deployment, "JWT_SECRET_KEY").1,
        live(&deployment, "JWT_SECRET_KEY"),
    ];
    for found in places {
        assert!(
            [old.as_str(), EDITED].contains(&found.as_str()),
            "{found:?}"
        );
    }
    assert_eq!(value(&deployment, "JWT_SECRET_KEY").unwrap(), EDITED);
    disk.free();
    ensure(&deployment).exits(0);
    all_agree(&deployment);
    assert_eq!(current(&deployment, "JWT_SECRET_KEY").1, EDITED);
    deployment.ops(&["secrets", "rotate", "jwt"]).exits(0);
}

/// Every secret has a value that was good before or is good after, wherever it is kept.
#[track_caller]
fn intact(deployment: &Deployment, before: &BTreeMap<&str, String>, at: &str) {
    let mine =
        |value: &str| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    for name in OWN {
        let (_, kept) = current(deployment, name);
        let written = value(deployment, name).unwrap();
        let served = live(deployment, name);
        for (place, found) in [("kept", &kept), (".env", &written), ("live", &served)] {
            assert!(mine(found), "{at}: {name}: {place}: {found:?}");
        }
        // no value is in .env but the one from before and the one that is kept
        assert!([&before[name], &kept].contains(&&written), "{at}: {name}");
    }
}

#[test]
fn b04_a_write_that_fails_leaves_every_secret_whole_and_the_next_run_finishes() {
    let Some(strace) = require("strace") else {
        return;
    };
    let soak = is_soak();
    let deployment = super::host();
    ensure(&deployment).exits(0);
    let mut met = 0;
    for fault in ["write:EIO", "fsync:EIO", "rename:EIO", "symlink:EIO"] {
        for verb in [
            &["secrets", "ensure"][..],
            &["secrets", "rotate", "jwt", "--now"],
        ] {
            for number in 1..400 {
                if !soak && !(number + seed()).is_multiple_of(2) {
                    continue;
                }
                if verb[1] == "ensure" {
                    // a person's edit is what there is to write
                    replace(&deployment, "SESSION_SECRET", &format!("{number:064x}"));
                    replace(&deployment, "JWT_SECRET_KEY", EDITED);
                }
                let before = OWN.map(|name| (name, value(&deployment, name).unwrap()));
                let before = BTreeMap::from(before);
                let at = format!("{verb:?}, {fault} {number}");
                let there_was_one = injected(&deployment, &strace, fault, number, verb);
                intact(&deployment, &before, &at);
                if verb[1] == "rotate" {
                    // a rotation that was cut off is finished by the next
                    deployment.ops(verb).exits(0);
                }
                ensure(&deployment).exits(0);
                all_agree(&deployment);
                if !there_was_one {
                    break;
                }
                met += 1;
            }
        }
    }
    assert!(met > 15, "{met} faults");
    deployment.ops(&["secrets", "rotate", "jwt"]).exits(0);
    all_agree(&deployment);
}

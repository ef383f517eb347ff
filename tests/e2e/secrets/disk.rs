//! Secrets on a disk that is full, and on one whose writes fail.

use agnes_e2e::deployment::Deployment;

use super::{EDITED, all_agree, current, ensure, replace, tree, value};
use crate::small_disk::SmallDisk;

/// A host with its secrets on a small disk of its own.
fn small() -> Option<(tempfile::TempDir, SmallDisk, Deployment)> {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(directory.path(), 4)?;
    let deployment = Deployment::at(directory.path()).with("AGNES_RUNTIME", "process");
    ensure(&deployment).exits(0);
    Some((directory, disk, deployment))
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
        assert_eq!(tree(&deployment), before, "{verb:?}");
    }
    disk.free();
    all_agree(&deployment);
    assert_eq!(value(&deployment, "JWT_SECRET_KEY").unwrap(), old);

    replace(&deployment, "JWT_SECRET_KEY", EDITED);
    disk.fill();
    let before = tree(&deployment);
    let ran = ensure(&deployment).exits(1);
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
    assert_eq!(tree(&deployment), before);
    assert_eq!(current(&deployment, "JWT_SECRET_KEY").1, old);
    disk.free();
    ensure(&deployment).exits(0);
    all_agree(&deployment);
    assert_eq!(current(&deployment, "JWT_SECRET_KEY").1, EDITED);
    deployment.ops(&["secrets", "rotate", "jwt"]).exits(0);
}

//! Units of a tree that is no host yet, or a sick one.

use std::os::unix::fs::PermissionsExt as _;

use agnes_e2e::deployment::{Ran, agnes_ops, run};

/// Without a deployment of its own, as on a host that has nothing.
fn of_tree(root: &str, verb: &[&str]) -> Ran {
    let mut command = std::process::Command::new(agnes_ops());
    command
        .env_clear()
        .args(verb)
        .args(["--root", root, "--json"]);
    run(command)
}

#[test]
fn a_tree_of_nothing_gets_units_that_are_right_once_it_is_a_root() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().display().to_string();
    let ops = |verb: &[&str]| of_tree(&root, verb);
    ops(&["units", "status"]).exits(10);
    ops(&["units", "install", "--dry-run"]).exits(0);
    assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), 0);
    ops(&["units", "install"]).exits(0).with_outcome("changed");
    ops(&["units", "install"])
        .exits(0)
        .with_outcome("unchanged");
    ops(&["units", "status"]).exits(0);
    let units = tree.path().join("etc/systemd/system");
    // whoever may write what root runs is root; and a unit whose program is gone runs nothing
    let open = units.join("agnes-watch.service");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    let program = tree.path().join("usr/local/bin/agnes-ops");
    std::fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink("/nowhere/agnes-ops", &program).unwrap();
    let found = ops(&["units", "status"]).exits(10);
    for id in ["units.writable", "units.no-program"] {
        assert!(found.stdout.contains(id), "{}", found.stdout);
    }
    ops(&["units", "install"]).exits(0).with_outcome("changed");
    let mode = std::fs::metadata(&open).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    ops(&["units", "status"]).exits(0);
    assert!(
        units
            .join("timers.target.wants/agnes-upgrade.timer")
            .is_symlink()
    );
    // what is shipped fits, so there is no drop-in
    assert!(!units.join("agnes-upgrade.service.d").exists());
    ops(&["units", "remove"]).exits(0).with_outcome("changed");
    assert!(!units.join("agnes-upgrade.timer").exists());
    // a blank machine's boot says what it would do, and makes nothing
    let blank = tempfile::tempdir().unwrap();
    let root = blank.path().display().to_string();
    let config = tree.path().join("boot.json");
    std::fs::write(
        &config,
        r#"{"version":1,"env":{"DOMAIN":"agnes.example.com"}}"#,
    )
    .unwrap();
    let mut command = std::process::Command::new(agnes_ops());
    let config = config.display().to_string();
    command.env_clear().args([
        "boot",
        "--dry-run",
        "--root",
        &root,
        "--config",
        &config,
        "--json",
    ]);
    run(command).exits(0).with_outcome("unchanged");
    assert_eq!(std::fs::read_dir(blank.path()).unwrap().count(), 0);
}

#[test]
fn b06_something_odd_in_the_place_of_one_unit_keeps_no_other_from_being_there() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().display().to_string();
    let ops = |verb: &[&str]| of_tree(&root, verb);
    let units = tree.path().join("etc/systemd/system");
    std::fs::create_dir_all(units.join("agnes-watch.service")).unwrap();
    std::fs::write(units.join("agnes-drill.service.d"), "a file").unwrap();
    let installed = ops(&["units", "install"]).exits(1);
    assert_eq!(installed.detail("reason"), "unit-in-the-way");
    assert!(installed.stdout.contains("agnes-watch.service: is no file"));
    assert!(units.join("agnes-snapshot.timer").is_file());
    assert!(
        units
            .join("timers.target.wants/agnes-snapshot.timer")
            .is_symlink()
    );
    let found = ops(&["units", "status"]).exits(10);
    assert!(found.stdout.contains("units.odd"), "{}", found.stdout);
    assert!(
        found.stdout.contains("--root"),
        "the next step is for this host"
    );
    // a program that cannot be one is told, and not passed over
    std::fs::remove_dir(units.join("agnes-watch.service")).unwrap();
    std::fs::remove_file(units.join("agnes-drill.service.d")).unwrap();
    let program = tree.path().join("usr/local/bin/agnes-ops");
    std::fs::remove_file(&program).unwrap();
    std::fs::create_dir(&program).unwrap();
    ops(&["units", "install"]).exits(1);
    std::fs::remove_dir(&program).unwrap();
    std::fs::copy("/bin/true", &program).unwrap();
    for (mode, id) in [(0o777, "units.writable"), (0o644, "units.no-program")] {
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        ops(&["units", "install"]);
        let found = ops(&["units", "status"]).exits(10);
        assert!(found.stdout.contains(id), "{mode:o}: {}", found.stdout);
    }
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    ops(&["units", "status"]).exits(0);
}

//! A disk without room (S04, S06, S11): a verb that cannot do its work changes nothing, leaves no half of it and says why.

use std::fs;
use std::path::Path;

use agnes_store::Migrations;

use crate::place::{Place, Ran, flip};
use crate::small_disk::SmallDisk;

/// Names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A database whose bytes are many, of schema version 2.
fn large(place: &Place) {
    place.migrate(&Migrations::up_to(2)).unwrap();
    let bytes = fs::metadata(place.database()).unwrap().len();
    assert!(bytes > 256 << 10, "{bytes}");
}

/// A refusal for want of room, with what was left on the host.
fn has_no_room(refused: &Ran, reason: &str, left: &str, what: &str) {
    assert_eq!(refused.exit, Some(1), "{what}: {}", refused.stdout);
    let said = &refused.stderr;
    assert_eq!(refused.details()["reason"], reason, "{what}: {said}");
    assert!(
        said.contains("No space left on device") && said.contains(left),
        "{what}: {said}"
    );
}

#[test]
fn s04_a_disk_that_fills_up_during_the_copy_keeps_the_migration_from_beginning() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 24) else {
        return;
    };
    large(&place);
    let before = fs::read(place.database()).unwrap();
    // not a block, and room for the directory and a part of the copy
    for kib in [0, 128] {
        disk.fill_but(kib);
        let refused = place.db(&["migrate"]);
        has_no_room(&refused, "copy", "nothing was migrated", &format!("{kib}"));
        assert!(place.copies().is_empty());
        let copies = place.state().join("pre-migration");
        assert!(!copies.exists() || names(&copies).is_empty(), "{kib}");
        assert!(fs::read(place.database()).unwrap() == before, "{kib}");
        assert!(!place.wal().exists(), "{kib}");
        disk.free();
    }
    let migrated = place.db(&["migrate"]);
    assert_eq!(migrated.exit, Some(0), "{}", migrated.stderr);
    assert_eq!(place.copies().len(), 1);
}

#[test]
fn an_export_to_a_full_disk_publishes_nothing_and_one_from_a_full_disk_is_made() {
    let place = Place::new();
    let there = place.root.path().join("there");
    fs::create_dir(&there).unwrap();
    let Some(disk) = SmallDisk::mount(&there, 24) else {
        return;
    };
    place.migrate(&Migrations::embedded()).unwrap();
    let before = place.tree();
    let out = there.join("out.duckdb");
    for kib in [0, 128] {
        disk.fill_but(kib);
        let refused = place.db(&["export", out.to_str().unwrap()]);
        assert_eq!(refused.exit, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("No space left on device"),
            "{}",
            refused.stderr
        );
        assert_eq!(names(&there), ["filler", "lost+found"], "{kib}");
        assert_eq!(place.tree(), before);
        let scratch = there.to_str().unwrap();
        let file = place.database();
        let refused = place.db(&["verify", file.to_str().unwrap(), "--scratch", scratch]);
        assert_eq!(refused.exit, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("No space left on device"),
            "{}",
            refused.stderr
        );
        assert_eq!(names(&there), ["filler", "lost+found"], "{kib}");
        disk.free();
    }
    assert_eq!(place.db(&["export", out.to_str().unwrap()]).exit, Some(0));

    // the way out for whoever finds the database's own disk full
    disk.fill();
    let rescued = place.root.path().join("rescued.duckdb");
    let moved = Place::new();
    let from = out.to_str().unwrap();
    for args in [
        &["check", from][..],
        &["export", rescued.to_str().unwrap(), "--file", from],
    ] {
        let done = moved.db(args);
        assert_eq!(done.exit, Some(0), "{args:?}: {}", done.stderr);
    }
    assert_eq!(fs::read(&rescued).unwrap(), fs::read(&out).unwrap());
}

#[test]
fn s06_a_replay_on_a_full_disk_moves_nothing_and_is_inconclusive() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 24) else {
        return;
    };
    place.leave_a_log();
    disk.fill();
    let before = place.tree();
    let out = place.root.path().join("out.duckdb");
    for args in [
        &["check"][..],
        &["migrate"],
        &["export", out.to_str().unwrap()],
        &["check"],
    ] {
        let refused = place.db(args);
        has_no_room(
            &refused,
            "inconclusive",
            "nothing was moved",
            &format!("{args:?}"),
        );
        assert!(place.tree() == before, "{args:?}");
    }
    assert!(!out.exists());
    disk.free();
    let checked = place.db(&["check"]);
    assert_eq!(checked.details()["tables"]["settings"]["rows"], 9);
}

#[test]
fn s06_a_quarantine_and_its_recovery_on_a_full_disk_lose_nothing() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 24) else {
        return;
    };
    place.leave_a_log();
    flip(&place.wal(), 150);
    let wal = fs::read(place.wal()).unwrap();
    disk.fill();
    for _ in 0..3 {
        let refused = place.db(&["check"]);
        assert_eq!(refused.exit, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("No space left on device"),
            "{}",
            refused.stderr
        );
        assert_eq!(fs::read(place.wal()).unwrap(), wal, "it was not moved");
    }
    disk.free();
    assert_eq!(place.db(&["check"]).details()["reason"], "quarantined");

    disk.fill();
    let before = place.tree();
    assert_eq!(place.db(&["recover"]).exit, Some(10));
    for _ in 0..2 {
        let refused = place.db(&["recover", "--accept-loss"]);
        assert_eq!(refused.exit, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("No space left on device"),
            "{}",
            refused.stderr
        );
        assert!(place.tree() == before, "still in quarantine");
    }
    disk.free();
    assert_eq!(place.db(&["recover", "--accept-loss"]).exit, Some(0));
    assert_eq!(place.db(&["check"]).exit, Some(0));
}

//! The copy before a migration.

use std::fs;
use std::time::Duration;

use agnes_store::offline;
use agnes_store::{Migrations, OpenError};

use crate::place::{Place, SLOW, wait, with};

#[test]
fn s04_a_crash_loop_keeps_one_clean_copy() {
    let place = Place::new();
    place.migrate(&Migrations::embedded()).unwrap();
    let clean = place.db(&["check"]).details()["tables"].clone();
    let mut first = None;
    for _ in 0..10 {
        let victim = place.victim(&[SLOW]);
        wait(|| !place.copies().is_empty());
        std::thread::sleep(Duration::from_millis(400));
        victim.kill();
        let copies = place.copies();
        assert_eq!(copies.len(), 1, "{copies:?}");
        let now = (copies[0].clone(), fs::read(&copies[0]).unwrap());
        assert_eq!(*first.get_or_insert_with(|| now.clone()), now);
    }
    let done = place
        .migrate(&with(&["CREATE TABLE quick (a INTEGER)"]))
        .unwrap();
    let migrated = done.migrated.unwrap();
    assert_eq!((migrated.from, migrated.to), (4, 5));
    let (copy, _) = first.unwrap();
    assert_eq!(migrated.copy.as_ref(), Some(&copy));
    let verified = place.db(&["verify", copy.to_str().unwrap()]);
    assert_eq!(verified.exit, Some(0), "{}", verified.stderr);
    assert_eq!(verified.details()["tables"], clean);
}

#[test]
fn s04_another_content_gets_another_copy() {
    let place = Place::new();
    place.migrate(&Migrations::up_to(1)).unwrap();
    place.migrate(&Migrations::up_to(2)).unwrap();
    place.migrate(&Migrations::embedded()).unwrap();
    assert_eq!(place.copies().len(), 2);
    for copy in place.copies() {
        let read = offline::verify(&place.options(), &copy, place.root.path()).unwrap();
        assert!(read.findings.is_empty(), "{:?}", read.findings);
    }
}

#[test]
fn s04_no_copy_no_migration() {
    let place = Place::new();
    place.migrate(&Migrations::up_to(2)).unwrap();
    fs::write(place.state().join("pre-migration"), "not a directory").unwrap();
    let refused = place.db(&["migrate"]);
    assert_eq!(refused.exit, Some(1));
    assert_eq!(refused.details()["reason"], "copy", "{}", refused.stderr);
    assert_eq!(place.db(&["check"]).details()["schema"], 2);
}

#[test]
fn a_failing_migration_is_rolled_back_and_names_the_copy() {
    let place = Place::new();
    place.migrate(&Migrations::embedded()).unwrap();
    let clean = place.db(&["check"]).details()["tables"].clone();
    let refused = place
        .migrate(&with(&[
            "CREATE TABLE half (a INTEGER); INSERT INTO nowhere VALUES (1);",
        ]))
        .unwrap_err();
    let OpenError::Migration {
        version: 5,
        copy: Some(copy),
        ..
    } = &refused
    else {
        panic!("{refused}");
    };
    assert!(
        copy.is_file() && refused.to_string().contains("rolled back"),
        "{refused}"
    );
    assert_eq!(place.db(&["check"]).details()["tables"], clean);
}

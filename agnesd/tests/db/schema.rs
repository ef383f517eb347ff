//! Programs and files of different versions.

use agnes_store::{Migration, Migrations};

use crate::place::{Place, with};

#[test]
fn s10_a_newer_schema_is_refused_with_both_versions() {
    let place = Place::new();
    place
        .migrate(&with(&["CREATE TABLE later (a INTEGER)"]))
        .unwrap();
    let before = place.tree();
    let refused = place.db(&["migrate"]);
    assert_eq!(refused.exit, Some(78), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("version 5") && refused.stderr.contains("up to 4"),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.details()["reason"], "newer-schema");
    assert_eq!(place.tree(), before);
}

#[test]
fn s10_real_columns_are_compared() {
    let place = Place::new();
    let other = Migrations::up_to(3).and(Migration {
        version: 4,
        name: "other",
        sql: "CREATE TABLE links (id VARCHAR PRIMARY KEY);",
    });
    place.migrate(&other).unwrap();
    let refused = place.db(&["migrate"]);
    assert_eq!(refused.exit, Some(78), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("missing main.identities issuer"),
        "{}",
        refused.stderr
    );
    let checked = place.db(&["check"]);
    assert_eq!(checked.exit, Some(1));
    assert!(
        checked.details()["findings"][0]
            .as_str()
            .unwrap()
            .contains("main.identities")
    );
}

#[test]
fn an_older_file_is_migrated_once() {
    let place = Place::new();
    place.migrate(&Migrations::up_to(1)).unwrap();
    let first = place.db(&["migrate"]);
    assert_eq!(first.exit, Some(0), "{}", first.stderr);
    let details = first.details();
    assert_eq!((&details["from"], &details["to"]), (&1.into(), &4.into()));
    assert!(details["copy"].as_str().is_some());
    let again = place.db(&["migrate"]);
    assert!(
        again.stdout.contains("\"outcome\":\"unchanged\""),
        "{}",
        again.stdout
    );
    assert_eq!(place.copies().len(), 1);
}

#[test]
fn a_file_that_a_power_cut_left_empty_is_made_again() {
    let place = Place::new();
    std::fs::write(place.database(), b"").unwrap();
    let made = place.db(&["migrate"]);
    assert_eq!(made.exit, Some(0), "{}", made.stderr);
    assert_eq!(place.db(&["check"]).exit, Some(0));
}

#[test]
fn what_does_not_fit_into_memory_goes_to_the_disk() {
    let place = Place::new();
    let options = agnes_store::Options {
        memory_limit_bytes: 48 << 20,
        ..place.options()
    };
    let sql = "CREATE TABLE big AS SELECT hash(range) AS h, repeat('x', 40) || range AS t FROM range(2000000) ORDER BY h";
    agnes_store::offline::migrate_with(&options, &place.database(), &with(&[sql])).unwrap();
    assert_eq!(
        place.db(&["check"]).details()["tables"]["big"]["rows"],
        2_000_000
    );
}

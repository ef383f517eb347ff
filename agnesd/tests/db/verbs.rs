//! verify and export, and the content hash.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use agnes_store::Migrations;

use crate::place::{Place, flip, with};

#[test]
fn s08_an_export_is_what_was_exported() {
    let place = Place::new();
    place.migrate(&Migrations::embedded()).unwrap();
    let (source, out) = (
        place.db(&["check"]).details(),
        place.root.path().join("out.duckdb"),
    );
    let name = out.to_str().unwrap();
    let exported = place.db(&["export", name]);
    assert_eq!(exported.exit, Some(0), "{}", exported.stderr);
    let manifest = exported.details();
    assert_eq!(manifest["tables"], source["tables"]);
    assert_eq!(manifest["schema"], 4);
    assert_eq!(manifest["bytes"], fs::metadata(&out).unwrap().len());
    assert_eq!(manifest["sha256"].as_str().unwrap().len(), 64);

    let bytes = fs::read(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o400)).unwrap();
    let verified = place.db(&["verify", name]);
    assert_eq!(
        verified.exit,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    assert_eq!(verified.details()["tables"], source["tables"]);
    assert_eq!(fs::read(&out).unwrap(), bytes);
    assert_eq!(
        place.db(&["export", name]).exit,
        Some(1),
        "an export overwrites nothing"
    );
    assert_eq!(fs::read(&out).unwrap(), bytes);
}

#[test]
fn s08_a_damaged_file_is_a_finding() {
    let place = Place::new();
    place.migrate(&Migrations::embedded()).unwrap();
    let out = place.root.path().join("out.duckdb");
    let whole = fs::read(place.database()).unwrap();
    let last_block = 3 * 4096 + (whole.len() - 3 * 4096) / 262_144 * 262_144 - 262_144 + 40;
    for at in [10, 4096 + 20, last_block] {
        fs::write(&out, &whole).unwrap();
        flip(&out, at);
        let verified = place.db(&["verify", out.to_str().unwrap()]);
        assert_eq!(
            verified.exit,
            Some(1),
            "{at}: {}{}",
            verified.stdout,
            verified.stderr
        );
        assert_eq!(verified.details()["findings"].as_array().unwrap().len(), 1);
    }
    fs::write(&out, b"").unwrap();
    assert_eq!(place.db(&["verify", out.to_str().unwrap()]).exit, Some(1));
}

#[test]
fn s08_the_hash_sees_values_and_not_their_order() {
    let figures = |rows: &str| {
        let place = Place::new();
        let sql = format!("CREATE TABLE t (a VARCHAR, b INTEGER); INSERT INTO t VALUES {rows};");
        place.migrate(&with(&[&sql])).unwrap();
        place.db(&["check"]).details()["tables"]["t"].clone()
    };
    let one = figures("('x', 1), ('y', 2), (NULL, 3)");
    assert_eq!(one, figures("(NULL, 3), ('y', 2), ('x', 1)"));
    for other in [
        "('x', 2), ('y', 1), (NULL, 3)",
        "('x', 1), ('y', 2), ('NULL', 3)",
        "('x', 1), ('y', 2), ('', 3)",
        "('x', 1), ('y', 2), (NULL, NULL)",
    ] {
        let other = figures(other);
        assert_eq!(other["rows"], one["rows"]);
        assert_ne!(other["sha256"], one["sha256"]);
    }
}

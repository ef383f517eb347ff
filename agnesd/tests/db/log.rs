//! A write-ahead log that a dead owner left.

use std::fs;

use agnes_store::{Migrations, OpenError, take_recovery_note};

use crate::place::{Place, SLOW, flip, wait, with};

fn rows(place: &Place) -> u64 {
    let checked = place.db(&["check"]);
    assert!(
        checked.stdout.contains("settings"),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    checked.details()["tables"]["settings"]["rows"]
        .as_u64()
        .unwrap()
}

#[test]
fn s05_a_log_is_replayed_by_a_child_and_gone() {
    let place = Place::new();
    place.leave_a_log();
    assert_eq!(rows(&place), 9);
    assert!(!place.wal().exists());
}

#[test]
fn s06_a_log_that_cannot_be_replayed_is_quarantined_until_the_loss_is_accepted() {
    let place = Place::new();
    place.leave_a_log();
    flip(&place.wal(), 150);
    let (wal, database) = (
        fs::read(place.wal()).unwrap(),
        fs::read(place.database()).unwrap(),
    );
    let refused = place.db(&["check"]);
    assert_eq!(refused.exit, Some(1));
    assert_eq!(
        refused.details()["reason"],
        "quarantined",
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("agnesd db recover --accept-loss"),
        "{}",
        refused.stderr
    );
    assert!(!place.wal().exists());

    let rooms: Vec<_> = fs::read_dir(place.state().join("quarantine"))
        .unwrap()
        .collect();
    assert_eq!(rooms.len(), 1);
    let room = rooms.into_iter().next().unwrap().unwrap().path();
    assert_eq!(fs::read(room.join("system.duckdb.wal")).unwrap(), wal);
    assert_eq!(
        fs::read(room.join("as-of-last-checkpoint.duckdb")).unwrap(),
        database
    );
    let report = fs::read_to_string(room.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["aborts"].as_array().unwrap().len(), 2);

    // every later start is refused, and asking changes nothing
    let before = place.tree();
    assert!(matches!(
        place.migrate(&Migrations::embedded()),
        Err(OpenError::Quarantined { .. })
    ));
    let asked = place.db(&["recover"]);
    assert_eq!(asked.exit, Some(10), "{}", asked.stderr);
    let risk = asked.details()["quarantine"].clone();
    assert_eq!(risk["wal_bytes"], wal.len());
    assert_eq!(risk["rows"]["settings"], 0);
    assert!(risk["last_checkpoint"].as_str().is_some());
    assert_eq!(place.tree(), before);

    let accepted = place.db(&["recover", "--accept-loss"]);
    assert_eq!(accepted.exit, Some(0), "{}", accepted.stderr);
    assert_eq!(rows(&place), 0);
    assert!(room.join("system.duckdb.wal").exists());
    let note = take_recovery_note(&place.state()).unwrap().unwrap();
    assert_eq!(note.wal_bytes, wal.len() as u64);
    note.acknowledge().unwrap();
    assert_eq!(take_recovery_note(&place.state()).unwrap(), None);
    assert_eq!(place.db(&["recover", "--accept-loss"]).exit, Some(0));
}

#[test]
fn s06_no_flipped_bit_loses_a_write_silently() {
    let place = Place::new();
    place.leave_a_log();
    let files = [place.database(), place.wal()].map(|path| (path.clone(), fs::read(path).unwrap()));
    let wal = &files[1].1;
    // The header, which has no checksum, at every byte: where its parts are varies with the database's identity. Of the
    // frames a sample; the last one cannot be told from one that was never finished.
    let header = 0..48;
    let frames = (header.end..wal.len() - 32).step_by(wal.len() / 24 + 1);
    for at in header.chain(frames) {
        for (path, bytes) in &files {
            fs::write(path, bytes).unwrap();
        }
        flip(&place.wal(), at);
        let checked = place.db(&["check"]);
        let details = checked.details();
        let whole = details["tables"]["settings"]["rows"] == 9;
        assert!(
            whole || details["reason"].is_string(),
            "byte {at}: {}",
            checked.stdout
        );
        for left in ["quarantined", "replay.json"] {
            let _ = fs::remove_file(place.state().join(format!("system.duckdb.{left}")));
        }
    }
}

#[test]
fn s06_a_torn_end_is_no_damage() {
    let place = Place::new();
    place.leave_a_log();
    let wal = fs::read(place.wal()).unwrap();
    fs::write(place.wal(), &wal[..wal.len() - 3]).unwrap();
    let checked = place.db(&["check"]);
    assert_eq!(
        checked.details()["tables"]["settings"]["rows"],
        6,
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    assert!(
        checked.stdout.contains("never acknowledged"),
        "{}",
        checked.stdout
    );
}

#[test]
fn s06_zeros_that_a_power_cut_left_at_the_end_cost_no_write_before_them() {
    for (appended, zeroed, rows) in [(16, 0, 9), (4096, 0, 9), (0, 40, 6)] {
        let place = Place::new();
        place.leave_a_log();
        let mut wal = fs::read(place.wal()).unwrap();
        let from = wal.len() - zeroed;
        wal[from..].fill(0);
        wal.extend(vec![0; appended]);
        fs::write(place.wal(), &wal).unwrap();
        let checked = place.db(&["check"]);
        assert_eq!(
            checked.details()["tables"]["settings"]["rows"],
            rows,
            "{appended} {zeroed}: {}{}",
            checked.stdout,
            checked.stderr
        );
    }
}

#[test]
fn s06_two_aborts_are_counted_across_restarts() {
    let place = Place::new();
    place.leave_a_log();
    let once = place.root.path().join("once");
    let script = format!(
        "[ $2 = replay ] && {{ [ -e {0} ] && kill -KILL $$; touch {0}; kill -ABRT $$; }}",
        once.display()
    );
    let wal = fs::read(place.wal()).unwrap();
    let first = place.migrate_through(&script).unwrap_err();
    assert!(matches!(first, OpenError::Inconclusive { .. }), "{first}");
    assert_eq!(fs::read(place.wal()).unwrap(), wal);
    fs::remove_file(once).unwrap();
    let second = place.migrate_through(&script).unwrap_err();
    assert!(matches!(second, OpenError::Quarantined { .. }), "{second}");
}

#[test]
fn s06_one_abort_is_tried_again() {
    let place = Place::new();
    place.leave_a_log();
    let once = place.root.path().join("once");
    let script = format!(
        "[ $2 = replay ] && [ ! -e {0} ] && {{ touch {0}; kill -SEGV $$; }}",
        once.display()
    );
    let refused = place.migrate_through(&script).unwrap_err();
    assert!(
        matches!(refused, OpenError::NewerSchema { .. }),
        "{refused}"
    );
    assert!(!place.wal().exists() && !place.state().join("quarantine").exists());
}

#[test]
fn s06_a_kill_or_a_full_disk_moves_nothing() {
    let place = Place::new();
    place.leave_a_log();
    let before = place.tree();
    let full = r#"echo '{"failed":{"cause":"host","why":"No space left on device"}}'; exit 1"#;
    for script in ["kill -KILL $$", "kill -TERM $$", "exit 3", full] {
        let refused = place.migrate_through(script).unwrap_err();
        assert!(
            matches!(refused, OpenError::Inconclusive { .. }),
            "{script}: {refused}"
        );
        assert_eq!(place.tree(), before, "{script}");
    }
}

#[test]
fn s06_a_full_disk_during_the_quarantine_moves_nothing() {
    let place = Place::new();
    place.leave_a_log();
    flip(&place.wal(), 150);
    let wal = fs::read(place.wal()).unwrap();
    let full = r#"[ $2 = copy ] && { echo '{"failed":{"cause":"host","why":"No space left on device"}}'; exit 1; }"#;
    for _ in 0..3 {
        let refused = place.migrate_through(full).unwrap_err();
        assert!(
            matches!(refused, OpenError::Inconclusive { .. }),
            "{refused}"
        );
        assert_eq!(fs::read(place.wal()).unwrap(), wal);
    }
    assert_eq!(place.db(&["check"]).details()["reason"], "quarantined");
    assert_eq!(
        fs::read_dir(place.state().join("quarantine"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn s12_a_second_owner_is_refused_by_pid() {
    let place = Place::new();
    place.migrate(&Migrations::embedded()).unwrap();
    let victim = place.victim(&[SLOW]);
    wait(|| !place.copies().is_empty());
    let file = place.root.path().join("out");
    for args in [
        &["check"][..],
        &["migrate"],
        &["recover"],
        &["export", file.to_str().unwrap()],
    ] {
        let refused = place.db(args);
        assert_eq!(refused.exit, Some(1), "{args:?}");
        assert!(
            refused.stderr.contains(&format!("(pid {})", victim.pid())),
            "{}",
            refused.stderr
        );
        assert_eq!(refused.details()["reason"], "locked");
    }
    let refused = place.migrate(&with(&[])).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
}

//! A log that somebody changed behind the server's back, with the engine itself.

use std::io::Write as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::Store;
use crate::audit::{Event, Origin};

fn options(dir: &Path) -> Options {
    Options {
        state_dir: dir.to_owned(),
        memory_limit_bytes: 256 << 20,
        threads: 2,
        program: "/bin/false".into(),
        release: "test".to_owned(),
    }
}

/// Runs `acts` on an open store, then closes it.
async fn serve<F: AsyncFnOnce(&Store)>(dir: &Path, acts: F) {
    let store = Store::open(&options(dir), &dir.join("run")).unwrap();
    store.ensure(&[]).await.unwrap();
    acts(&store).await;
    store.close().await.unwrap();
}

/// A log of some rows, closed.
async fn log() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path(), async |store| {
        for n in 0..20 {
            let event = Event::done("test.done", format!("thing:{n}"));
            store.record(Origin::server(), event).await.unwrap();
        }
    })
    .await;
    dir
}

fn tamper(dir: &Path, sql: &str) {
    let file = dir.join(DATABASE);
    let connection = attach(&file, Access::ReadWrite, options(dir).limits(), None).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.execute_batch("CHECKPOINT agnes").unwrap();
}

fn put(file: &Path, bytes: &[u8]) {
    std::fs::File::create(file)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

fn kinds(dir: &Path) -> Vec<Kind> {
    let report = verify(&options(dir), &dir.join(DATABASE), dir).unwrap();
    let mut kinds: Vec<Kind> = report.findings.iter().map(|finding| finding.kind).collect();
    kinds.dedup();
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_touched_is_sound() {
    let dir = log().await;
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert_eq!(report.findings, []);
    assert!(
        report.rows > 20 && report.first_seq == Some(1),
        "{report:?}"
    );
    assert_eq!(
        report.witness_seq, report.last_seq,
        "a stop leaves the witness at the head"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_any_field_shows() {
    for set in [
        "actor = 'somebody'",
        "action = 'test.undone'",
        "resource = ''",
        "outcome = 'denied'",
        "ip = '192.0.2.9'",
        "user_agent = 'x'",
        "request_id = 'x'",
        "count = 2",
        "metadata = '{\"a\":1}'",
        "occurred_at = occurred_at + INTERVAL 1 SECOND",
        "id = '018f0000-0000-7000-8000-000000000000'",
        "hash = repeat('0', 64)",
    ] {
        let dir = log().await;
        tamper(dir.path(), &format!("UPDATE audit SET {set} WHERE seq = 7"));
        assert!(kinds(dir.path()).contains(&Kind::Edited), "{set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_a_cut_tail_show_also_when_the_stored_head_was_moved_along() {
    let dir = log().await;
    tamper(dir.path(), "DELETE FROM audit WHERE seq = 9");
    assert!(kinds(dir.path()).contains(&Kind::Missing));

    let dir = log().await;
    tamper(dir.path(), "DELETE FROM audit WHERE seq > 15");
    assert!(kinds(dir.path()).contains(&Kind::TailCut));

    let dir = log().await;
    tamper(
        dir.path(),
        "DELETE FROM audit WHERE seq > 15; UPDATE audit_head SET seq = 15, hash = (SELECT hash FROM audit WHERE seq = 15)",
    );
    assert_eq!(
        kinds(dir.path()),
        [Kind::TailCut],
        "the witness outside knows"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_was_changed_or_torn_is_told_and_a_missing_one_is_noted() {
    let dir = log().await;
    let witness = dir.path().join(WITNESS);
    let text = std::fs::read_to_string(&witness).unwrap();
    for bad in [
        text.replacen("\"seq\":", "\"seq\":1", 1),
        text[..20].to_owned(),
        "\0\0".to_owned(),
    ] {
        put(&witness, bad.as_bytes());
        assert!(kinds(dir.path()).contains(&Kind::WitnessBad));
    }
    std::fs::remove_file(&witness).unwrap();
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert!(
        report.findings.is_empty() && !report.notes.is_empty(),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_expired_leave_a_signed_anchor_and_a_sound_rest() {
    let dir = log().await;
    serve(dir.path(), async |store| {
        // everything is older than nothing: all but the newest row goes
        let expired = store.expire_audit(0).await.unwrap();
        assert!(expired.rows >= 20, "{expired:?}");
        let event = Event::done("test.done", "after");
        store.record(Origin::server(), event).await.unwrap();
    })
    .await;
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert_eq!(report.findings, []);
    assert!(
        report.expired_through.is_some() && report.rows >= 2,
        "{report:?}"
    );
    tamper(dir.path(), "UPDATE audit_anchors SET expired = expired + 1");
    assert!(kinds(dir.path()).contains(&Kind::AnchorBad));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_that_was_put_back_is_told_at_the_next_start() {
    let dir = log().await;
    let file = dir.path().join(DATABASE);
    let older = std::fs::read(&file).unwrap();
    serve(dir.path(), async |store| {
        for n in 0..5 {
            let event = Event::done("test.done", format!("lost:{n}"));
            store.record(Origin::server(), event).await.unwrap();
        }
    })
    .await;
    put(&file, &older);
    assert!(kinds(dir.path()).contains(&Kind::TailCut));
    serve(dir.path(), async |_| {}).await;
    let report = verify(&options(dir.path()), &file, dir.path()).unwrap();
    assert_eq!(report.findings, [], "it is in the log now");
    assert!(
        report
            .told
            .iter()
            .any(|told| told.action == "audit.restored"),
        "{report:?}"
    );
}

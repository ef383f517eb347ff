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
async fn an_edit_shows_to_a_server_that_runs() {
    let dir = log().await;
    let found = async || {
        let mut found = Vec::new();
        serve(dir.path(), async |store| {
            let report = store.verify_audit().await.unwrap();
            found.extend(report.findings.iter().map(|one| (one.kind, one.seq)));
        })
        .await;
        found
    };
    assert_eq!(found().await, []);
    tamper(
        dir.path(),
        "UPDATE audit SET actor = 'nobody' WHERE seq = 7",
    );
    assert_eq!(found().await, [(Kind::Edited, Some(7))]);
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
async fn a_witness_that_was_changed_or_torn_is_told_and_a_missing_one_too() {
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
    let report = verify_own(&options(dir.path()), dir.path()).unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [Kind::WitnessMissing]);
    // a copy has none beside it: that is noted, and no finding
    let copy = dir.path().join("copy.duckdb");
    put(&copy, &std::fs::read(dir.path().join(DATABASE)).unwrap());
    let report = verify(&options(dir.path()), &copy, dir.path()).unwrap();
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

/// Every finding, with its row.
fn found(dir: &Path) -> Vec<(Kind, Option<i64>)> {
    let report = verify(&options(dir), &dir.join(DATABASE), dir).unwrap();
    let findings = report.findings.iter();
    findings.map(|found| (found.kind, found.seq)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_the_rows_has_exactly_its_finding() {
    let last = {
        let dir = log().await;
        let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
        report.last_seq.unwrap()
    };
    let forged = "repeat('0', 64)";
    for (what, sql, wanted) in [
        (
            "edited metadata",
            "UPDATE audit SET metadata = '{\"a\":1}' WHERE seq = 7".to_owned(),
            vec![(Kind::Edited, Some(7))],
        ),
        (
            "an edit and a hash that fits nothing: the next row no longer follows",
            format!("UPDATE audit SET actor = 'x', hash = {forged} WHERE seq = 7"),
            vec![(Kind::Edited, Some(7)), (Kind::Edited, Some(8))],
        ),
        (
            "two rows out of the middle",
            "DELETE FROM audit WHERE seq IN (9, 10)".to_owned(),
            vec![(Kind::Missing, Some(9))],
        ),
        (
            "a number twice",
            "INSERT INTO audit SELECT * FROM audit WHERE seq = 9".to_owned(),
            vec![(Kind::Unexpected, Some(9))],
        ),
        (
            "two rows that changed places",
            "UPDATE audit SET seq = 29 - seq WHERE seq IN (14, 15)".to_owned(),
            vec![(Kind::Edited, Some(14)), (Kind::Edited, Some(15)), (Kind::Edited, Some(16))],
        ),
        (
            "the tail cut: the stored head and the witness both know",
            "DELETE FROM audit WHERE seq > 15".to_owned(),
            vec![(Kind::TailCut, Some(16)), (Kind::TailCut, Some(16))],
        ),
        (
            "the tail cut, the head moved along: the witness knows",
            "DELETE FROM audit WHERE seq > 15; UPDATE audit_head SET seq = 15, hash = (SELECT hash FROM audit WHERE seq = 15)".to_owned(),
            vec![(Kind::TailCut, Some(16))],
        ),
        (
            "the head alone moved back",
            "UPDATE audit_head SET seq = 15, hash = (SELECT hash FROM audit WHERE seq = 15)".to_owned(),
            vec![(Kind::HeadMismatch, Some(last))],
        ),
        (
            "no head",
            "DELETE FROM audit_head".to_owned(),
            vec![(Kind::HeadMismatch, Some(last))],
        ),
        (
            "the last row rewritten, head and all",
            format!("UPDATE audit SET hash = {forged} WHERE seq = {last}; UPDATE audit_head SET hash = {forged}"),
            vec![(Kind::Edited, Some(last)), (Kind::WitnessMismatch, Some(last))],
        ),
        (
            "all of it",
            "DELETE FROM audit".to_owned(),
            vec![(Kind::TailCut, Some(1)), (Kind::TailCut, Some(1))],
        ),
    ] {
        let dir = log().await;
        tamper(dir.path(), &sql);
        assert_eq!(found(dir.path()), wanted, "{what}");
    }
}

/// A log whose beginning has expired, closed; the last row that went.
async fn expired() -> (TempDir, i64) {
    let dir = log().await;
    serve(dir.path(), async |store| {
        store.expire_audit(0).await.unwrap();
        let event = Event::done("test.done", "after");
        store.record(Origin::server(), event).await.unwrap();
    })
    .await;
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert_eq!(report.findings, []);
    let through = report.expired_through.unwrap();
    (dir, through)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_anchor_and_key_has_exactly_its_finding() {
    // the anchor removed: the rows that it stands for are missing
    let (dir, _) = expired().await;
    tamper(dir.path(), "DELETE FROM audit_anchors");
    assert_eq!(found(dir.path()), [(Kind::Missing, Some(1))]);

    // moved on, to hide rows: not what was signed
    let (dir, through) = expired().await;
    let sql = format!(
        "DELETE FROM audit WHERE seq = {0}; UPDATE audit_anchors SET through_seq = {0}",
        through + 1
    );
    tamper(dir.path(), &sql);
    assert!(found(dir.path()).contains(&(Kind::AnchorBad, Some(through + 1))));

    // forged whole, by a key of the forger's own: it fits the rows, and is not this deployment's
    let (dir, through) = expired().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let forger = SigningKey::load_or_make(&elsewhere.path().join(KEY)).unwrap();
    let hash: String = {
        let file = dir.path().join(DATABASE);
        let connection =
            attach(&file, Access::ReadOnly, options(dir.path()).limits(), None).unwrap();
        let sql = "SELECT hash FROM audit_anchors";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let signed = forger.sign(&anchor::text(through, &hash, 1, 0));
    let sql = format!(
        "UPDATE audit_anchors SET expired = 1, made_at = '1970-01-01', public_key = '{}', signature = '{}'",
        signed.public_key, signed.signature
    );
    tamper(dir.path(), &sql);
    assert_eq!(found(dir.path()), [(Kind::AnchorBad, Some(through))]);

    // the key replaced by another: neither the anchor nor the witness is of it
    let (dir, through) = expired().await;
    let key = std::fs::read(elsewhere.path().join(KEY)).unwrap();
    put(&dir.path().join(KEY), &key);
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert_eq!(
        found(dir.path()),
        [
            (Kind::AnchorBad, Some(through)),
            (Kind::WitnessBad, report.witness_seq)
        ]
    );

    // damaged, and removed: told, and what cannot be known then is noted
    put(&dir.path().join(KEY), &key[..key.len() / 2]);
    assert_eq!(found(dir.path()), [(Kind::KeyBad, None)]);
    std::fs::remove_file(dir.path().join(KEY)).unwrap();
    let report = verify(&options(dir.path()), &dir.path().join(DATABASE), dir.path()).unwrap();
    assert_eq!(
        (report.findings.len(), report.notes.len()),
        (0, 2),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_whose_witness_cannot_be_written_is_done_and_says_so() {
    let dir = log().await;
    let in_the_way = dir.path().join("audit.head.part");
    serve(dir.path(), async |store| {
        std::fs::create_dir(&in_the_way).unwrap();
        let expired = store.expire_audit(0).await.unwrap();
        assert!(expired.rows >= 20, "{expired:?}");
        let why = expired.witness_behind.clone().unwrap();
        assert!(why.contains("audit.head"), "{why}");
        // what is done is not done again
        let again = store.expire_audit(0).await.unwrap();
        assert!(again.through_seq > expired.through_seq, "{again:?}");
        std::fs::remove_dir(&in_the_way).unwrap();
        store.write_audit_witness().await.unwrap();
    })
    .await;
    assert_eq!(found(dir.path()), []);
}

//! What an attack on snapshots found: files in manifests' places, manifests that lie, ledgers that are broken, runs that were killed.

use std::path::Path;

use serde_json::json;

use super::damage::edit;
use super::host::{Host, names};

fn fifo(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

fn reasons(ran: &agnes_e2e::deployment::Ran) -> Vec<String> {
    let findings = ran.detail("findings").as_array().unwrap().iter();
    findings
        .map(|finding| finding["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn s08_one_snapshot_s_odd_manifest_is_that_one_s_damage() {
    let host = Host::up();
    let (good, odd) = (host.create(), host.create());
    let manifest = host.snapshot(&odd).join("manifest.json");
    let text = std::fs::read(&manifest).unwrap();
    let scenes: [(&dyn Fn(), &str); 4] = [
        (
            &|| std::fs::create_dir(&manifest).unwrap(),
            "is no regular file",
        ),
        (&|| fifo(&manifest), "is no regular file"),
        (&|| std::fs::write(&manifest, "{").unwrap(), "EOF"),
        (
            &|| {
                std::fs::write(&manifest, &text).unwrap();
                edit(&host.snapshot(&odd), |manifest| {
                    manifest["manifest_version"] = 0.into();
                });
            },
            "of version 0",
        ),
    ];
    for (make, said) in scenes {
        std::fs::remove_file(&manifest).unwrap_or_default();
        std::fs::remove_dir(&manifest).unwrap_or_default();
        make();
        let plain = host.deployment.command(&["snapshot", "list"]);
        let listed = agnes_e2e::deployment::run(plain).exits(0).stdout;
        assert!(
            listed.contains(said) && listed.contains(&format!("{good}  proven")),
            "{listed}"
        );
        host.ops(&["prune"]).exits(0);
        host.ops(&["drill"]).exits(0);
        let found = host.ops(&["verify", &odd]).exits(1);
        assert!(
            reasons(&found).contains(&"manifest-unreadable".to_owned()),
            "{}",
            found.stdout
        );
    }
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, &text).unwrap();
    // the sum of what a manifest says need not be a number
    edit(&host.snapshot(&odd), |manifest| {
        manifest["files"]["a"] = json!({"sha256": "00", "size": u64::MAX});
        manifest["id"] = "two\nlines".into();
        manifest["created_at"] = "2099-01-01T00:00:00Z".into();
    });
    host.ops(&["list"]).exits(0);
    let found = host.ops(&["verify", &odd]).exits(1);
    let reasons = reasons(&found);
    for reason in ["manifest-differs", "id-differs", "time-differs"] {
        assert!(reasons.contains(&reason.to_owned()), "{reasons:?}");
    }
    assert!(
        !found.detail("findings").to_string().contains("two\\nlines"),
        "{}",
        found.stdout
    );
}

#[test]
fn s08_a_manifest_that_was_exchanged_is_told_at_every_look_and_the_original_is_no_alarm() {
    let host = Host::up();
    let id = host.create();
    let manifest = host.snapshot(&id).join("manifest.json");
    let original = std::fs::read(&manifest).unwrap();
    edit(&host.snapshot(&id), |manifest| {
        manifest["reason"] = "other".into();
    });
    for _ in 0..3 {
        let found = host.ops(&["verify", &id]).exits(1);
        assert!(
            reasons(&found).contains(&"manifest-differs".to_owned()),
            "{}",
            found.stdout
        );
    }
    std::fs::write(&manifest, original).unwrap();
    host.ops(&["verify", &id]).exits(0);
}

#[test]
fn s03_the_newest_is_read_whole_before_others_go() {
    let host =
        Host::with(|deployment| deployment.toml("[snapshot]\nkeep_last = 1\nkeep_days = 0\n"));
    host.write();
    let (whole, flipped) = (host.create(), host.create());
    let database = host.snapshot(&flipped).join("system.duckdb");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&database, bytes).unwrap();
    let pruned = host.ops(&["prune"]).exits(0);
    assert_eq!(pruned.detail("removed"), &json!([]), "{}", pruned.stdout);
    host.ops(&["verify", &whole]).exits(0);
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("snapshots")[1]["standing"], "damaged");
}

#[test]
fn s02_a_ledger_that_is_broken_hides_no_snapshot_that_was_made() {
    let host = Host::up();
    host.create();
    std::fs::write(host.ledger(), "not json").unwrap();
    let failed = host.ops(&["create"]).exits(1);
    assert_eq!(failed.detail("reason"), "not-noted", "{}", failed.stdout);
    let message = failed.detail("message").as_str().unwrap();
    assert!(
        message.contains("it was made") && !message.contains("no snapshot was made"),
        "{message}"
    );
    assert_eq!(names(&host.directory()).len(), 2);
    std::fs::remove_file(host.ledger()).unwrap();
    host.ops(&["verify", "--all"]).exits(0);
}

#[test]
fn what_a_killed_look_left_goes_with_the_next_run() {
    let host = Host::up();
    host.create();
    let left = host
        .deployment
        .state()
        .join("ops/scratch/verify-of-a-run-that-was-killed");
    for verb in [&["verify"][..], &["prune"], &["create"]] {
        std::fs::create_dir_all(left.join("deep")).unwrap();
        std::fs::write(left.join("system.duckdb"), "large").unwrap();
        host.ops(verb).exits(0);
        assert!(!left.exists(), "{verb:?}");
    }
}

#[test]
fn a_pull_takes_the_newest_that_can_be_read_and_waits_for_no_fifo() {
    let host = Host::up();
    let disk = tempfile::tempdir().unwrap();
    let url = format!("file://{}", disk.path().display());
    let (older, newer) = (host.create(), host.create());
    for id in [&older, &newer] {
        host.ops(&["push", &url, id]).exits(0);
        std::fs::remove_dir_all(host.snapshot(id)).unwrap();
    }
    std::fs::write(disk.path().join(&newer).join("manifest.json"), "{").unwrap();
    let pulled = host.ops(&["pull", &url]).exits(0);
    assert_eq!(pulled.detail("id"), older.as_str());
    assert!(pulled.stderr.contains("passed over"), "{}", pulled.stderr);
    // the one that was asked for is not passed over
    let refused = host.ops(&["pull", &url, &newer]).exits(1);
    assert_eq!(refused.detail("reason"), "manifest-unreadable");

    std::fs::remove_dir_all(host.snapshot(&older)).unwrap();
    let database = disk.path().join(&older).join("system.duckdb");
    std::fs::remove_file(&database).unwrap();
    fifo(&database);
    let refused = host.ops(&["pull", &url, &older]).exits(1);
    let message = refused.detail("message").as_str().unwrap();
    assert!(
        message.contains("is no regular file") && message.ends_with("nothing was pulled"),
        "{message}"
    );
    assert_eq!(names(&host.directory()), [""; 0]);
}

#[test]
fn status_names_what_was_cut_off_and_a_hold_that_nobody_owns() {
    let host = Host::up();
    host.deployment.ops(&["status"]).exits(0);
    let journal = host.deployment.state().join("ops/journal");
    std::fs::create_dir_all(&journal).unwrap();
    std::fs::write(journal.join("restore.json"), "{}").unwrap();
    let found = host.deployment.ops(&["status"]).exits(10);
    assert_eq!(found.detail("findings")[0]["id"], "restore.open");
    assert!(
        found
            .detail("next")
            .as_str()
            .unwrap()
            .contains("snapshot prune")
    );
    // a run that is at work is no finding
    let lock = std::fs::File::options()
        .write(true)
        .open(host.deployment.dir().join(".lock"))
        .unwrap();
    lock.lock().unwrap();
    host.deployment.ops(&["status"]).exits(0);
    drop(lock);
    std::fs::remove_file(journal.join("restore.json")).unwrap();

    host.hold();
    let found = host.deployment.ops(&["status"]).exits(10);
    assert_eq!(found.detail("findings")[0]["id"], "server.held");
}

//! Snapshots off the host: a directory, and a bucket of a real object store.

use std::path::Path;

use agnes_e2e::gcs::Gcs;
use serde_json::{Value, json};

use super::host::{Host, names};

/// More than one piece of an upload.
const LARGE: usize = 15 << 20;

/// A host whose snapshots have a large file too.
fn host(endpoint: Option<String>) -> Host {
    let host = Host::with(|deployment| match endpoint {
        Some(endpoint) => deployment.with("AGNES_GCS_ENDPOINT", endpoint),
        None => deployment,
    });
    let large = host.deployment.dir().join("large.override.txt");
    std::fs::write(large, vec![b'x'; LARGE]).unwrap();
    host
}

/// Pushed, pushed again, lost here, pulled, pulled again, restored.
fn round_trip(host: &Host, url: &str) {
    let id = host.create();
    host.write();
    let ran = host.ops(&["push", url]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("id"), &json!(id));
    assert_eq!(ran.detail("url"), &json!(url));
    host.ops(&["push", url, &id])
        .exits(0)
        .with_outcome("unchanged");
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("pushed")[url]["snapshot"], json!(id));

    let before = agnes_e2e::deployment::snapshot(&host.snapshot(&id));
    std::fs::remove_dir_all(host.snapshot(&id)).unwrap();
    std::fs::remove_file(host.ledger()).unwrap();
    let ran = host.ops(&["pull", url]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("id"), &json!(id));
    let after = agnes_e2e::deployment::snapshot(&host.snapshot(&id));
    let bytes = |tree: &agnes_e2e::deployment::Snapshot| -> Vec<_> {
        let files = tree.iter();
        files
            .map(|(path, (_, _, bytes))| (path.clone(), bytes.clone()))
            .collect()
    };
    assert_eq!(bytes(&after), bytes(&before));
    host.ops(&["pull", &format!("{url}/{id}")])
        .exits(0)
        .with_outcome("unchanged");
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("snapshots")[0]["proven"], true);
    host.ops(&["restore", &id]).exits(0);
    assert_eq!(host.users(), 1);
}

#[test]
fn a_snapshot_goes_to_another_disk_and_comes_back() {
    let host = host(None);
    let disk = tempfile::tempdir().unwrap();
    let url = format!("file://{}", disk.path().display());
    round_trip(&host, &url);
    // nobody else may read it there
    for (path, (mode, ..)) in agnes_e2e::deployment::snapshot(disk.path()) {
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn a_snapshot_goes_to_a_bucket_and_comes_back() {
    let Some(gcs) = Gcs::start() else { return };
    gcs.bucket("backups");
    let host = host(Some(gcs.endpoint()));
    round_trip(&host, "gs://backups/agnes/prod");
}

#[test]
fn s02_a_place_that_refuses_is_a_failure_and_the_snapshot_is_here_all_the_same() {
    let Some(gcs) = Gcs::start() else { return };
    let host = Host::with(|deployment| {
        deployment
            .with("AGNES_GCS_ENDPOINT", gcs.endpoint())
            .toml("[snapshot]\npush_to = \"gs://backups/agnes\"\n")
    });
    // there is no such bucket
    let ran = host.ops(&["create"]).exits(1);
    assert_eq!(ran.json["outcome"], "changed");
    assert_eq!(ran.detail("reason"), "not-published", "{}", ran.stdout);
    let id = ran.detail("id").as_str().unwrap().to_owned();
    let message = ran.detail("message").as_str().unwrap();
    assert!(
        message.starts_with(&format!("{id} was made; ")),
        "{message}"
    );
    assert!(host.snapshot(&id).is_dir());
    // now there is, and the next one goes there by itself
    gcs.bucket("backups");
    let ran = host.ops(&["create"]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("pushed_to"), "gs://backups/agnes");
    host.ops(&["push"]).exits(0).with_outcome("unchanged");
    // a disk that is not mounted is not made up for by a directory
    let gone = host.deployment.dir().join("not-mounted");
    let ran = host.ops(&["push", &format!("file://{}", gone.display())]);
    assert_eq!(ran.exits(1).detail("reason"), "not-published");
    assert!(!gone.exists());
    // and what is no place is told before anything is done
    let ran = host.ops(&["push", "https://example.com/x"]).exits(78);
    assert_eq!(ran.detail("reason"), "malformed");
}

#[test]
fn s03_retention_there_keeps_the_newest_and_what_is_not_ours() {
    let host =
        Host::with(|deployment| deployment.toml("[snapshot]\nkeep_last = 1\nkeep_days = 0\n"));
    let disk = tempfile::tempdir().unwrap();
    let url = format!("file://{}", disk.path().display());
    std::fs::create_dir(disk.path().join("of-somebody")).unwrap();
    std::fs::write(disk.path().join("of-somebody/file"), "x").unwrap();
    let first = host.create();
    host.ops(&["push", &url]).exits(0);
    let second = host.create();
    let ran = host.ops(&["push", &url]).exits(0);
    assert_eq!(ran.detail("removed"), &json!([first]));
    assert!(!disk.path().join(&first).join("manifest.json").exists());
    assert!(disk.path().join(&second).join("manifest.json").is_file());
    assert!(disk.path().join("of-somebody/file").is_file());
}

#[test]
fn s08_damage_on_the_way_or_there_is_found_before_it_has_a_name_here() {
    let host = Host::up();
    let disk = tempfile::tempdir().unwrap();
    let url = format!("file://{}", disk.path().display());
    let id = host.create();
    host.ops(&["push", &url]).exits(0);
    std::fs::remove_dir_all(host.snapshot(&id)).unwrap();
    let there = disk.path().join(&id);
    let database = std::fs::read(there.join("system.duckdb")).unwrap();
    let manifest = std::fs::read(there.join("manifest.json")).unwrap();
    let damaged = |reason: &str, path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        let ran = host.ops(&["pull", &url, &id]).exits(1);
        assert_eq!(ran.detail("reason"), reason, "{}", ran.stdout);
        assert_eq!(names(&host.directory()), [""; 0], "{reason}");
        std::fs::write(there.join("system.duckdb"), &database).unwrap();
        std::fs::write(there.join("manifest.json"), &manifest).unwrap();
    };
    let mut flipped = database.clone();
    flipped[100] ^= 1;
    damaged("file-sha256", &there.join("system.duckdb"), &flipped);
    damaged("file-size", &there.join("system.duckdb"), &database[1..]);
    damaged("manifest-unreadable", &there.join("manifest.json"), b"{");
    // a manifest that leads elsewhere
    let mut lying: Value = serde_json::from_slice(&manifest).unwrap();
    lying["files"]["../../escaped"] = json!({"sha256": "00", "size": 1});
    let lying = serde_json::to_vec(&lying).unwrap();
    damaged("manifest-unreadable", &there.join("manifest.json"), &lying);
    let mut other: Value = serde_json::from_slice(&manifest).unwrap();
    other["id"] = json!("../x");
    let other = serde_json::to_vec(&other).unwrap();
    damaged("id-differs", &there.join("manifest.json"), &other);
    // a push that was killed has left no manifest: it is no snapshot
    std::fs::remove_file(there.join("manifest.json")).unwrap();
    let ran = host.ops(&["pull", &url]).exits(1);
    assert_eq!(ran.detail("reason"), "no-snapshot");
    std::fs::write(there.join("manifest.json"), &manifest).unwrap();
    host.ops(&["pull", &url]).exits(0);
    // what is not proven is not pushed
    std::fs::write(host.snapshot(&id).join("system.duckdb"), "").unwrap();
    host.ops(&["verify", &id]).exits(1);
    let ran = host.ops(&["push", &url, &id]).exits(1);
    assert_eq!(ran.detail("reason"), "not-proven");
}

#[test]
fn a_bar_is_drawn_for_a_person_at_a_terminal_and_never_into_a_journal() {
    let host = host(None);
    let disk = tempfile::tempdir().unwrap();
    let url = format!("file://{}", disk.path().display());
    host.create();
    let push = host.deployment.command(&["snapshot", "push", &url]);
    let words: Vec<String> = std::iter::once(push.get_program())
        .chain(push.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    // one terminal for both outputs
    let mut at_a_terminal = std::process::Command::new("script");
    at_a_terminal
        .args([
            "--quiet",
            "--return",
            "--command",
            &words.join(" "),
            "/dev/null",
        ])
        .stdin(std::process::Stdio::null());
    let seen = agnes_e2e::deployment::run(at_a_terminal).exits(0);
    assert!(seen.stdout.contains("MiB/"), "{:?}", seen.stdout);
    std::fs::remove_dir_all(
        disk.path().join(
            host.ops(&["list"]).detail("snapshots")[0]["id"]
                .as_str()
                .unwrap(),
        ),
    )
    .unwrap();
    let unseen = agnes_e2e::deployment::run(push).exits(0);
    assert!(unseen.stdout.starts_with("changed"), "{}", unseen.stdout);
    assert!(!unseen.stderr.contains("MiB/"), "{}", unseen.stderr);
}

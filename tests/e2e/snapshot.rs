//! `agnes-ops snapshot` beside a real server: what it makes, what it keeps, what it finds, and the way back.

mod bench;
mod damage;
mod faults;
mod host;
mod odd;
mod remote;
pub(crate) mod restore;
mod sealed;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use self::host::{Host, names};

#[test]
fn s01_a_snapshot_is_made_under_a_short_pause_and_says_what_it_holds() {
    let host = Host::with(|deployment| {
        deployment
            .with("SMTP_PASSWORD", "canary-value-of-a-secret")
            .toml("[snapshot]\nkeep_days = 3\n")
    });
    host.write();
    let ran = host
        .ops(&["create", "--reason", "before-import"])
        .exits(0)
        .with_outcome("changed");
    let id = ran.detail("id").as_str().unwrap();
    assert!(id.ends_with("Z-before-import"), "{id}");
    let path = host.snapshot(id);
    assert_eq!(names(&path), ["config", "manifest.json", "system.duckdb"]);
    let manifest = std::fs::read(path.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["id"], id);
    assert_eq!(manifest["reason"], "before-import");
    assert_eq!(manifest["made_by"], "server");
    assert_eq!(manifest["tables"]["users"]["rows"], 2);
    assert_eq!(manifest["schema_version"], host.state()["schema"]);
    assert_eq!(manifest["version"], host.state()["version"]);
    assert!(
        manifest["engine_version"]
            .as_str()
            .unwrap()
            .starts_with('v')
    );
    assert!(manifest["pause_ms"].is_u64());
    let size = std::fs::metadata(path.join("system.duckdb")).unwrap();
    assert_eq!(manifest["files"]["system.duckdb"]["size"], size.len());
    assert_eq!(size.permissions().mode() & 0o077, 0);
    // the configuration is there, and no secret (B10)
    let toml = std::fs::read_to_string(path.join("config/agnes.toml")).unwrap();
    assert_eq!(toml, "[snapshot]\nkeep_days = 3\n");
    for (file, bytes) in agnes_e2e::deployment::snapshot(&path) {
        let text = String::from_utf8_lossy(&bytes.2).into_owned();
        assert!(!text.contains("canary-value-of-a-secret"), "{file:?}");
        let key = host.deployment.state().join("secrets/live/JWT_SECRET_KEY");
        let key = std::fs::read_to_string(key).unwrap();
        assert!(!text.contains(key.trim()), "{file:?}");
    }
    let left_out = manifest["left_out"].to_string();
    assert!(left_out.contains("SMTP_PASSWORD"), "{left_out}");
    assert!(left_out.contains("private key of TLS"), "{left_out}");
    // and it is proven, by a look of its own too
    host.ops(&["verify", id]).exits(0).with_outcome("unchanged");
    let listed = host.ops(&["list"]).exits(0);
    let listed = &listed.detail("snapshots")[0];
    assert_eq!(listed["id"], id);
    assert_eq!(listed["proven"], true);
    host.is_clean();
}

#[test]
fn s01_without_a_server_its_program_makes_the_snapshot_and_a_silent_server_is_not_passed_by() {
    let host = Host::up();
    host.write();
    host.down();
    let id = host.create();
    let manifest = std::fs::read(host.snapshot(&id).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["made_by"], "export");
    assert_eq!(manifest["pause_ms"], 0);
    assert_eq!(manifest["tables"]["users"]["rows"], 2);
    host.ops(&["verify"]).exits(0);
    // its socket is gone, its lock is not
    host.start();
    std::fs::remove_file(host.deployment.dir().join("data/run/agnesd.sock")).unwrap();
    let ran = host.ops(&["create"]).exits(1);
    assert_eq!(ran.detail("reason"), "export-failed");
    let message = ran.detail("message").as_str().unwrap();
    assert!(message.ends_with("no snapshot was made"), "{message}");
    assert_eq!(names(&host.directory()), [id]);
}

#[test]
fn s02_a_copy_that_fails_is_a_failure_and_leaves_yesterday_s_alone() {
    let host = Host::up();
    let id = host.create();
    let before = agnes_e2e::deployment::snapshot(&host.directory());
    // nothing can be made in a directory that is a file
    let hidden = host.deployment.dir().join("data/hidden");
    std::fs::rename(host.directory(), &hidden).unwrap();
    std::fs::write(host.directory(), "").unwrap();
    let ran = host.ops(&["create"]).exits(1);
    assert_eq!(ran.json["outcome"], "unchanged");
    std::fs::remove_file(host.directory()).unwrap();
    std::fs::rename(&hidden, host.directory()).unwrap();
    assert_eq!(agnes_e2e::deployment::snapshot(&host.directory()), before);
    assert_eq!(names(&host.directory()), [id]);
    // what a killed run left half made is no snapshot, and goes
    std::fs::create_dir(host.snapshot("20260101T000000Z-manual.making")).unwrap();
    assert_eq!(
        host.ops(&["list"]).exits(0).detail("snapshots")[1],
        Value::Null
    );
    host.create();
    host.is_clean();
}

#[test]
fn s03_pruning_never_takes_the_newest_proven_one_and_never_what_is_not_ours() {
    let host =
        Host::with(|deployment| deployment.toml("[snapshot]\nkeep_last = 1\nkeep_days = 0\n"));
    let good = host.create();
    let damaged: Vec<String> = (0..5)
        .map(|_| {
            let id = host.create();
            std::fs::write(host.snapshot(&id).join("system.duckdb"), "").unwrap();
            host.ops(&["verify", &id]).exits(1);
            id
        })
        .collect();
    std::fs::create_dir(host.snapshot("of-somebody")).unwrap();
    let planned = host.ops(&["prune", "--dry-run"]).exits(0);
    assert_eq!(planned.json["steps"].as_array().unwrap().len(), 2);
    let ran = host.ops(&["prune"]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("removed"), &json!([damaged[0], damaged[1]]));
    let mut left = vec![good.clone()];
    left.extend(damaged[2..].iter().cloned());
    left.push("of-somebody".to_owned());
    assert_eq!(names(&host.directory()), left);
    host.ops(&["prune"]).exits(0).with_outcome("unchanged");
    // a newer proven one lets the older go
    let newer = host.create();
    host.ops(&["prune"]).exits(0).with_outcome("changed");
    assert!(!host.snapshot(&good).exists());
    assert!(host.snapshot(&newer).is_dir());
}

#[test]
fn s07_a_drill_serves_the_newest_proven_one_and_records_the_time() {
    let host = Host::up();
    let ran = host.ops(&["drill"]).exits(1);
    assert_eq!(ran.detail("reason"), "no-snapshot");
    host.write();
    let id = host.create();
    let newer = host.create();
    std::fs::write(host.snapshot(&newer).join("system.duckdb"), "").unwrap();
    host.ops(&["verify", &newer]).exits(1);
    let before = host.state()["audit_head"].clone();
    let ran = host.ops(&["drill"]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("snapshot"), &json!(id));
    assert!(ran.detail("rto_ms").as_u64().unwrap() > 0);
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("last_drill.rto_ms"), ran.detail("rto_ms"));
    assert_eq!(
        host.state()["audit_head"],
        before,
        "the live data was touched"
    );
    // one that does not restore is a failure, and counts as damaged
    let file = host.snapshot(&id).join("system.duckdb");
    let bytes = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0x11; usize::try_from(bytes).unwrap()]).unwrap();
    let ran = host.ops(&["drill"]).exits(1);
    assert_eq!(ran.detail("reason"), "drill-failed");
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("snapshots")[0]["proven"], false);
    let scratch = host.deployment.state().join("ops/scratch");
    assert_eq!(names(&scratch), [""; 0]);
}

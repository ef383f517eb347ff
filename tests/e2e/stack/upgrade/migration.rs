//! Versions that migrate: the data goes forward with them, and back only with the image or by a person's word.

use agnes_e2e::components::is_soak;

use super::{Host, entrypoint};

/// A version whose schema is one further.
pub(super) const MIGRATES: &str =
    "ENV AGNES_FURTHER_MIGRATION=\"CREATE TABLE further (x INTEGER)\"";

#[test]
fn u16_a_migration_goes_forward_whole_and_back_only_by_a_persons_word() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    let plain = host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let needless = host.upgrade(&["rollback", "--with-data"]).exits(1);
    assert_eq!(needless.detail("reason"), "not-migrated");
    host.runs(&plain);

    let schema = host.state()["schema"].as_i64().unwrap();
    host.writes(&token, "before");
    let migrating = host.publish(MIGRATES);
    let tried = host.upgrade(&["rehearse"]).exits(0);
    assert_eq!(tried.detail("migrates"), true, "{}", tried.stdout);
    assert_eq!(tried.detail("schema.to").as_i64(), Some(schema + 1));
    assert!(tried.detail("expected_held.migration_ms").is_i64());
    let done = host.writing(&token, "migrates", || host.upgrade(&[]));
    let done = done.exits(0).with_outcome("changed");
    assert_eq!(done.detail("migrates"), true);
    host.runs(&migrating);
    assert_eq!(host.state()["schema"].as_i64(), Some(schema + 1));
    host.writes(&token, "after");

    let app = host.stack.project.container("app").unwrap();
    let told = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(told.detail("reason"), "needs-with-data", "{}", told.stdout);
    assert!(told.detail("lost.rows.groups").as_i64().unwrap() >= 1);
    assert!(told.detail("lost.age_secs").is_i64());
    let words = host.stack.deployment.command(&["upgrade", "rollback"]);
    let words = agnes_e2e::deployment::run(words).exits(1);
    assert!(words.stdout.contains("  groups\n"), "{}", words.stdout);
    assert_eq!(host.stack.project.container("app").unwrap(), app);
    host.runs(&migrating);
    assert!(host.has(&token, "after"));

    let back = host.upgrade(&["rollback", "--with-data"]).exits(0);
    assert_eq!(back.json["outcome"], "changed");
    assert_eq!(back.detail("to.digest"), plain.as_str());
    host.runs(&plain);
    assert_eq!(host.state()["schema"].as_i64(), Some(schema));
    assert!(host.has(&token, "before"));
    assert!(!host.has(&token, "after"));
    host.writes(&token, "later");
    assert_eq!(back.detail("ledger")[0]["digest"], migrating.as_str());
    // what was replaced is whole, where it says
    let kept = std::path::PathBuf::from(back.detail("kept").as_str().unwrap());
    let kept = kept.join("system.duckdb");
    assert!(std::fs::metadata(&kept).unwrap().len() > 0);
    let history = host.upgrade(&["history"]).exits(0);
    let copied = &history.detail("upgrades")[0]["restore_point_sha256"];
    assert_eq!(copied.as_str(), Some(sha256(&kept).as_str()));
    let again = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(again.detail("reason"), "nothing-before");
}

fn sha256(path: &std::path::Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let digest = openssl::sha::sha256(&bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn u16_a_version_that_migrates_and_dies_leaves_the_old_image_and_the_old_data() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    let schema = host.state()["schema"].clone();
    for (number, dies) in [
        // migrated, and never ready
        "/usr/lib/agnes/agnesd db migrate >/dev/null; exec /bin/busybox sleep 3600",
        // ready, and gone with its log not folded in
        "/usr/lib/agnes/agnesd serve & sleep 2; kill -9 $!; exit 1",
    ]
    .into_iter()
    .enumerate()
    {
        host.publish(&format!("{MIGRATES}\n{}", entrypoint(dies)));
        let prefix = format!("dies_{number}");
        let failed = host.writing(&token, &prefix, || host.upgrade(&[]));
        let failed = failed.exits(1).with_outcome("rolled-back");
        assert_eq!(failed.detail("failed_step"), "gate", "{}", failed.stdout);
        assert_eq!(failed.detail("migrates"), true);
        host.runs(&host.first);
        assert_eq!(host.state()["schema"], schema);
    }
    // it had come that far: the server keeps a copy of its own before each migration
    let copies = host.stack.deployment.state().join("pre-migration");
    assert!(std::fs::read_dir(copies).unwrap().count() > 0);
}

/// Older data that cannot be served makes way again for what it replaced.
#[test]
fn u06_a_way_back_with_data_that_fails_ends_where_it_began() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    let migrating = host.publish(MIGRATES);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.writes(&token, "after");
    // neither passes: the older one because of the probe, and the newer one too
    let path = host.stack.deployment.dir().join("agnes.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}probes = [\"/no/such/page\"]\n")).unwrap();
    let both = host.upgrade(&["rollback", "--with-data"]).exits(100);
    assert_eq!(both.detail("reason"), "way-back-failed", "{}", both.stdout);
    std::fs::write(&path, text).unwrap();
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    host.runs(&migrating);
    assert!(host.has(&token, "after"));
}

/// SIGKILL between any two effects of a way back with data: one more tick, and one version serves with the data that belongs to it.
#[test]
fn u09_a_way_back_with_data_that_is_killed_leaves_one_version_with_its_own_data() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    let deployment = &host.stack.deployment;
    let migrating = host.publish(MIGRATES);
    host.upgrade(&[]).exits(0);
    let verb = ["upgrade", "rollback", "--with-data"];
    let count = crate::crash::checkpoints(deployment, &verb);
    let soak = is_soak();
    let sample = crate::crash::chosen(count).into_iter().enumerate();
    for (_, number) in sample.filter(|(at, _)| soak || at % 4 == 0) {
        host.upgrade(&["--to", &migrating]).exits(0);
        let name = format!("since_{number}");
        host.writes(&token, &name);
        crate::crash::killed_at(deployment, &verb, number);
        let digest = host.next_tick_leaves_one(&number.to_string());
        if digest == migrating {
            assert!(host.has(&token, &name), "{number}: lost {name}");
        } else {
            assert_eq!(digest, host.first, "{number}");
            assert!(!host.has(&token, &name), "{number}: data of the other one");
        }
    }
}

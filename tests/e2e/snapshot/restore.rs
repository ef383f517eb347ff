//! The way back: what would be lost is told, what is there is kept, and any failure or kill leaves one of two good states.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use agnes_e2e::deployment::{Ran, agnes_ops, agnesd, run};
use serde_json::{Value, json};

use super::host::{Host, names};
use crate::crash::{chosen, killed_at};

/// Before the snapshot there is one user, after it a second.
fn with_a_write_since() -> (Host, String) {
    let host = Host::up();
    let id = host.create();
    host.write();
    assert_eq!(host.users(), 2);
    (host, id)
}

#[test]
fn s07_a_restore_tells_what_is_lost_and_keeps_it() {
    let (host, id) = with_a_write_since();
    let before = agnes_e2e::deployment::snapshot(&host.directory());
    let told = host.ops(&["restore", &id, "--dry-run"]).exits(0);
    assert_eq!(told.json["outcome"], "unchanged");
    assert_eq!(told.detail("lost.rows.users"), 1);
    assert!(told.detail("lost.rows.audit").as_i64().unwrap() > 0);
    assert_eq!(told.detail("lost.rows.roles"), &Value::Null);
    assert!(told.detail("lost.age_secs").is_i64());
    assert_eq!(agnes_e2e::deployment::snapshot(&host.directory()), before);
    assert_eq!(host.users(), 2);

    let ran = host.ops(&["restore", &id]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("lost.rows.users"), 1);
    assert_eq!(host.users(), 1);
    host.is_clean();
    // what was there is a snapshot like any other, and the way back from the way back
    let kept = ran.detail("kept").as_str().unwrap().to_owned();
    assert!(kept.ends_with("-before-restore"), "{kept}");
    host.ops(&["verify", &kept]).exits(0);
    host.ops(&["restore", &kept]).exits(0);
    assert_eq!(host.users(), 2);
    host.is_clean();
}

const SHORT_GATE: &str = "[upgrade.gate]\ntimeout = \"2s\"\nstable_for = \"1s\"\n";

/// An `agnes-ops` whose `agnesd` does not start as many times.
fn restore_with_failing_starts(host: &Host, id: &str, fails: usize) -> Ran {
    // a second name and not a copy: whoever forks while a copy is written holds it open, and it cannot be run
    let programs = tempfile::tempdir_in(agnes_ops().parent().unwrap()).unwrap();
    let ops = programs.path().join("agnes-ops");
    std::fs::hard_link(agnes_ops(), &ops).unwrap();
    let starts = programs.path().join("starts");
    let script = format!(
        "#!/bin/sh\nif [ $1 = serve ]; then echo >> {starts}; [ $(wc -l < {starts}) -gt {fails} ] || exit 7; fi\nexec {} \"$@\"\n",
        agnesd().display(),
        starts = starts.display(),
    );
    let server = programs.path().join("agnesd");
    std::fs::write(&server, script).unwrap();
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = host
        .deployment
        .command(&["snapshot", "restore", id, "--json"]);
    let mut with_it = Command::new(ops);
    with_it
        .args(command.get_args())
        .stdin(std::process::Stdio::null());
    run(with_it)
}

#[test]
fn s09_a_server_that_does_not_serve_the_restored_data_gets_its_own_back() {
    let host = Host::with(|deployment| deployment.toml(SHORT_GATE));
    let id = host.create();
    host.write();
    let ran = restore_with_failing_starts(&host, &id, 1).exits(1);
    assert_eq!(ran.json["outcome"], "rolled-back");
    let message = ran.detail("message").as_str().unwrap();
    assert!(
        message.contains("what was there is back and proven"),
        "{message}"
    );
    assert_eq!(host.users(), 2);
    host.is_clean();
    host.ops(&["restore", &id]).exits(0);
    assert_eq!(host.users(), 1);
}

#[test]
fn s09_when_the_way_back_fails_too_the_data_is_in_place_and_the_next_run_ends_it() {
    let host = Host::with(|deployment| deployment.toml(SHORT_GATE));
    let id = host.create();
    host.write();
    let ran = restore_with_failing_starts(&host, &id, 2).exits(100);
    assert_eq!(ran.json["outcome"], "degraded");
    let replaced = host.deployment.state().join("ops/replaced");
    for name in names(&replaced) {
        assert_eq!(names(&replaced.join(name)), [""; 0]);
    }
    let ran = host.ops(&["restore", &id]).exits(1);
    assert_eq!(ran.json["outcome"], "rolled-back");
    assert_eq!(host.users(), 2);
    host.is_clean();
}

#[test]
fn s06_a_damaged_database_is_kept_as_it_is_and_what_was_running_is_not_guessed() {
    let (host, id) = with_a_write_since();
    host.down();
    std::fs::write(host.database(), "damaged").unwrap();
    let told = host.ops(&["restore", &id, "--dry-run"]).exits(0);
    assert_eq!(told.detail("lost.rows"), &Value::Null);
    assert!(told.detail("lost.unknown").is_string());
    let ran = host.ops(&["restore", &id]).exits(0).with_outcome("changed");
    let kept = std::path::PathBuf::from(ran.detail("kept").as_str().unwrap());
    assert_eq!(
        std::fs::read_to_string(kept.join("system.duckdb")).unwrap(),
        "damaged"
    );
    host.start();
    assert_eq!(host.users(), 1);
}

#[test]
fn s09_a_lost_database_is_restored_too() {
    let (host, id) = with_a_write_since();
    host.down();
    std::fs::remove_file(host.database()).unwrap();
    let ran = host.ops(&["restore", &id]).exits(0).with_outcome("changed");
    assert_eq!(ran.detail("kept"), &Value::Null);
    host.start();
    assert_eq!(host.users(), 1);
    host.is_clean();
}

#[test]
fn b04_the_configuration_comes_back_on_request_and_secrets_stay() {
    let host = Host::with(|deployment| {
        deployment
            .with("SMTP_PASSWORD", "kept")
            .with("LOG_LEVEL", "info")
            .toml("# first\n")
    });
    let dir = host.deployment.dir().to_owned();
    // where docs/compose.md has people put files of their own
    let theirs = [
        "docker-compose.override.yml",
        "caddy/sites/theirs.override.caddy",
        "monitoring/prometheus/rules/theirs.override.yml",
        "monitoring/alertmanager/alertmanager.override.yml",
        "monitoring/grafana/dashboards/theirs.override.json",
    ];
    for name in theirs {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let id = host.create();
    for name in ["docker-compose.override.yml", "caddy", "monitoring"] {
        let path = dir.join(name);
        std::fs::remove_file(&path)
            .or_else(|_| std::fs::remove_dir_all(&path))
            .unwrap();
    }
    std::fs::write(dir.join("agnes.toml"), "# second\n").unwrap();
    std::fs::create_dir(dir.join("agnes.toml.d")).unwrap();
    std::fs::write(dir.join("agnes.toml.d/10-later.toml"), "# later\n").unwrap();
    let env = std::fs::read_to_string(dir.join(".env")).unwrap();
    let env = env.replace("LOG_LEVEL='info'", "LOG_LEVEL='warn'");
    std::fs::write(dir.join(".env"), env.replace("'kept'", "'newer'")).unwrap();
    host.ops(&["restore", &id]).exits(0);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(read("agnes.toml"), "# second\n");
    host.ops(&["restore", &id, "--with-config"]).exits(0);
    assert_eq!(read("agnes.toml"), "# first\n");
    for name in theirs {
        assert_eq!(read(name), name);
    }
    assert_eq!(read("agnes.toml.d/10-later.toml"), "# later\n");
    let env = read(".env");
    assert!(env.contains("info"), "{env}");
    assert!(env.contains("SMTP_PASSWORD='newer'"), "{env}");
}

/// What a restore is killed in the middle of, the next run undoes or finishes.
#[test]
fn s09_killed_at_any_checkpoint_the_next_run_leaves_one_of_two_good_states() {
    let (host, id) = with_a_write_since();
    let total = {
        let count = crate::crash::checkpoints(&host.deployment, &["snapshot", "restore", &id]);
        let listed = host.ops(&["list"]).exits(0);
        let kept = listed.detail("snapshots").as_array().unwrap();
        // the newest is the last, though its name may sort before that of another of the same second
        let kept = kept.last().unwrap()["id"].as_str().unwrap().to_owned();
        assert!(kept.ends_with("-before-restore"), "{kept}");
        host.ops(&["restore", &kept]).exits(0);
        assert_eq!(host.users(), 2);
        count
    };
    assert!(total >= 40, "{total} checkpoints");
    for number in chosen(total) {
        if killed_at(&host.deployment, &["snapshot", "restore", &id], number).is_none() {
            continue;
        }
        let ran = host.ops(&["restore", &id]);
        match ran.code {
            0 => assert_eq!(host.users(), 1, "checkpoint {number}"),
            1 => {
                assert_eq!(ran.json["outcome"], "rolled-back", "{}", ran.stdout);
                assert_eq!(host.users(), 2, "checkpoint {number}");
            }
            other => panic!("checkpoint {number}: exit {other}: {}", ran.stderr),
        }
        host.is_clean();
        if host.users() == 1 {
            host.write();
        }
    }
    let all = host.ops(&["verify", "--all"]).exits(0);
    assert_eq!(all.detail("findings"), &json!([]));
}

#[test]
fn s02_a_create_that_finishes_a_restore_first_makes_its_own_snapshot_too() {
    let (host, id) = with_a_write_since();
    let verb = ["snapshot", "restore", &id];
    let total = crate::crash::checkpoints(&host.deployment, &verb);
    host.write();
    // the data is proven then, and what it replaced is not put away yet
    killed_at(&host.deployment, &verb, total - 12).unwrap();
    let ran = host.ops(&["create", "--reason", "after"]).exits(0);
    let steps = ran.json["steps"].as_array().unwrap();
    assert!(steps.len() > 1, "nothing was left to finish: {steps:?}");
    assert!(ran.detail("id").as_str().unwrap().ends_with("-after"));
    host.is_clean();
}

/// Two restores of one second: what the second one replaces is not what the first one kept.
#[test]
fn s07_what_is_replaced_is_kept_under_a_name_of_its_own() {
    let (host, id) = with_a_write_since();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let taken: Vec<String> = (now..now + 3)
        .map(|at| {
            let mut date = Command::new("date");
            date.args([
                "-u",
                "-d",
                &format!("@{at}"),
                "+%Y%m%dT%H%M%SZ-before-restore",
            ]);
            String::from_utf8(date.output().unwrap().stdout)
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect();
    for name in &taken {
        std::fs::create_dir(host.directory().join(name)).unwrap();
    }
    let ran = host.ops(&["restore", &id]).exits(0);
    let kept = ran.detail("kept").as_str().unwrap().to_owned();
    assert!(!taken.contains(&kept), "{kept}");
    // both users are in it
    host.ops(&["restore", &kept]).exits(0);
    assert_eq!(host.users(), 2);
}

/// Restores, and says at which checkpoint the server was about to be started on the restored data.
pub(crate) fn starting(deployment: &agnes_e2e::deployment::Deployment, id: &str) -> u64 {
    let trace = deployment.dir().join("checkpoints");
    let mut command = deployment.command(&["snapshot", "restore", id]);
    command.env("AGNES_CHECKPOINTS", &trace);
    run(command).exits(0);
    let text = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(trace).unwrap();
    let journalled =
        |line: &&str| line.contains("after renaming") && line.ends_with("journal/restore.json");
    // preparing, holding, exchanging, starting
    let line = text.lines().filter(journalled).nth(3).unwrap();
    line.split_once(' ').unwrap().0.parse().unwrap()
}

#[test]
fn s09_what_was_cut_off_is_ended_by_whoever_comes_next() {
    let (host, id) = with_a_write_since();
    let number = starting(&host.deployment, &id);
    host.write();
    killed_at(&host.deployment, &["snapshot", "restore", &id], number).unwrap();
    let ran = host.ops(&["create"]).exits(1);
    assert_eq!(ran.json["outcome"], "rolled-back", "{}", ran.stdout);
    assert_eq!(ran.detail("reason"), "interrupted");
    assert_eq!(host.users(), 2);
    host.is_clean();
    host.create();
    // an upgrade that was cut off comes before a restore
    let journal = host.deployment.state().join("ops/journal/upgrade.json");
    std::fs::write(&journal, "{}").unwrap();
    let ran = host.ops(&["restore", &id]).exits(1);
    assert_eq!(ran.detail("reason"), "upgrade-open");
    assert_eq!(host.users(), 2);
}

//! `agnes-ops upgrade` on the shipped stack: a real engine, a real registry, images of the project's own.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use agnes_e2e::registry::{Access, Registry};
use serde_json::Value;
use xtask::command;

mod after;
mod bench;
mod busy;
mod churn;
mod clients;
mod crash;
mod engine;
mod host;
mod matrix;
mod migration;
mod plan;
mod sick;

pub(super) use host::{Host, entrypoint, push};

#[test]
fn u01_a_good_version_is_swapped_in_and_no_acknowledged_write_is_lost() {
    let Some(host) = Host::up("") else {
        return;
    };
    // the first tick adopts what plain Compose started, and starts nothing
    let app = host.stack.app.clone();
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    assert_eq!(app, host.stack.project.container("app").unwrap());
    let token = host.sign_in();
    let second = host.publish("LABEL version=2");
    host.upgrade(&["check"]).exits(10);
    let planned = host.upgrade(&["--dry-run"]).exits(0);
    assert_eq!(planned.json["steps"].as_array().unwrap().len(), 15);
    let done = host.writing(&token, "good", || host.upgrade(&[]));
    let done = done.exits(0).with_outcome("changed");
    assert_eq!(done.detail("from.digest"), host.first.as_str());
    assert_eq!(done.detail("to.digest"), second.as_str());
    assert!(done.detail("held_ms").as_i64().unwrap() > 0);
    println!(
        "FIGURE upgrade-held-ms {} writes held, no migration, debug build",
        done.detail("held_ms")
    );
    host.runs(&second);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    // what a person starts is what was proven
    host.stack.project.up().unwrap();
    host.runs(&second);
    let history = host.upgrade(&["history"]).exits(0);
    assert_eq!(history.detail("upgrades")[0]["outcome"], "changed");
    assert_eq!(
        history.detail("upgrades")[0]["to"]["digest"],
        second.as_str()
    );
    let snapshot = history.detail("upgrades")[0]["snapshot"]["id"].clone();
    assert!(
        snapshot.as_str().unwrap().contains("-upgrade"),
        "{snapshot}"
    );
}

#[test]
fn u08_a_version_that_crashes_is_taken_back_once_and_not_tried_again() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    host.upgrade(&[]).exits(0);
    let bad = host.publish(&entrypoint("exit 3"));
    let began = Instant::now();
    let failed = host.writing(&token, "crash", || host.upgrade(&[]));
    println!(
        "FIGURE upgrade-way-back-ms {} from a tick to the old version proven",
        began.elapsed().as_millis()
    );
    let failed = failed.exits(1).with_outcome("rolled-back");
    assert_eq!(failed.detail("failed_step"), "gate", "{}", failed.stdout);
    assert_eq!(failed.detail("ledger")[0]["digest"], bad.as_str());
    host.runs(&host.first);
    let app = host.stack.project.container("app").unwrap();
    for _ in 0..24 {
        let again = host.upgrade(&[]).exits(0).with_outcome("unchanged");
        assert_eq!(again.detail("reason"), "in-ledger");
    }
    assert_eq!(app, host.stack.project.container("app").unwrap());
    // that is no work, and what is on this host is still looked after
    let checked = host.upgrade(&["check"]).exits(0);
    assert_eq!(checked.detail("reason"), "in-ledger");
    assert_eq!(checked.detail("ledger")[0]["digest"], bad.as_str());
    host.append(".env", "LOG_LEVEL=debug\n");
    host.upgrade(&["check"]).exits(10);
    let drifted = host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(drifted.detail("reason"), "in-ledger", "{}", drifted.stdout);
    host.runs(&host.first);
    host.upgrade(&["check"]).exits(0);
    host.upgrade(&["forgive", &bad])
        .exits(0)
        .with_outcome("changed");
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    // the tag moves on
    let good = host.publish("LABEL version=3");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&good);
}

#[test]
fn u05_a_version_that_is_never_ready_or_not_for_long_is_taken_back() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    for (number, bad) in [
        "exec /bin/busybox sleep 3600",
        // it serves, takes writes, and is gone
        "/usr/lib/agnes/agnesd serve & sleep 1; kill -9 $!; exit 1",
    ]
    .into_iter()
    .enumerate()
    {
        host.publish(&entrypoint(bad));
        let failed = host.writing(&token, &format!("u05_{number}"), || host.upgrade(&[]));
        let failed = failed.exits(1).with_outcome("rolled-back");
        // the second may be gone between its first look and the release
        let step = failed.detail("failed_step").as_str().unwrap();
        assert!(["gate", "release"].contains(&step), "{}", failed.stdout);
        host.runs(&host.first);
        host.stack.answers(200);
    }
}

#[test]
fn u05_a_process_that_was_replaced_while_it_was_asked_does_not_pass() {
    let Some(mut host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    // the gate's second look takes until it would be over, and then another process is there
    let programs = tempfile::tempdir().unwrap();
    let real = xtask::components::directory().join("docker");
    let script = format!(
        r#"#!/bin/sh
[ "$1" = exec ] || exec {real} "$@"
{real} "$@" || exit
[ -e {dir}/asked ] || exec touch {dir}/asked
[ ! -e {dir}/replaced ] || exit 0
touch {dir}/replaced
sleep 2
kill -9 "$({real} inspect --format '{{{{.State.Pid}}}}' "$2")"
until [ "$({real} inspect --format '{{{{.RestartCount}}}} {{{{.State.Running}}}}' "$2")" = "1 true" ]; do sleep 0.1; done
"#,
        real = real.display(),
        dir = programs.path().display(),
    );
    let shim = programs.path().join("docker");
    std::fs::write(&shim, script).unwrap();
    std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (key, value) in host.stack.docker.environment() {
        if key == "PATH" {
            let path = format!("{}:{value}", programs.path().display());
            host.stack.deployment.set_environment(key, path);
        }
    }
    host.publish("LABEL version=2");
    let failed = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(failed.detail("failed_step"), "gate", "{}", failed.stdout);
    assert!(programs.path().join("replaced").exists());
    host.runs(&host.first);
}

#[test]
fn u03_the_way_back_by_hand_needs_no_registry_and_survives_a_prune() {
    let Some(host) = Host::up("") else {
        return;
    };
    let nothing = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(nothing.detail("reason"), "nothing-before");
    let second = host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let Host {
        stack,
        registry,
        repository,
        first,
    } = host;
    drop(registry);
    for name in ["stable", "latest"] {
        let tag = format!("{repository}:{name}");
        let _ = command::capture(&mut stack.docker.command(["image", "rm", &tag]));
    }
    // of this host's images alone
    let filter = format!("label=host={}", repository.split('/').next().unwrap());
    command::capture(
        &mut stack
            .docker
            .command(["image", "prune", "--all", "--force", "--filter", &filter]),
    )
    .unwrap();
    let registry = Registry::start(Access::Open).unwrap();
    let host = Host {
        stack,
        registry,
        repository,
        first,
    };
    let back = host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
    assert_eq!(
        back.detail("from.digest"),
        second.as_str(),
        "{}",
        back.stdout
    );
    // by a tag of ours, for the digest went with the repository's last tag
    let app = host.stack.project.container("app").unwrap();
    let format = ["inspect", "--format", "{{.Config.Image}}", &app];
    let said = command::capture(&mut host.stack.docker.command(format)).unwrap();
    assert!(said.starts_with("agnes-kept:"), "{said}");
    host.clean();
    host.stack.answers(200);
    // what was left behind is not taken up again by itself
    assert_eq!(back.detail("ledger")[0]["digest"], second.as_str());
    let again = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(again.detail("reason"), "nothing-before", "{}", again.stdout);
}

#[test]
fn u03_images_are_let_go_by_a_run_that_changes_nothing_and_probes_count() {
    let Some(host) = Host::up("keep_images = 2") else {
        return;
    };
    let kept = || {
        let filter = format!("label=host={}", host.repository.split('/').next().unwrap());
        let format = [
            "ps",
            "--all",
            "--filter",
            "label=agnes.kept=1",
            "--filter",
            &filter,
            "--format",
            "{{.Names}}",
        ];
        let said = command::capture(&mut host.stack.docker.command(format)).unwrap();
        said.lines().count()
    };
    for version in ["two", "three"] {
        host.publish(&format!("LABEL version={version}"));
        host.upgrade(&[]).exits(0).with_outcome("changed");
    }
    assert_eq!(kept(), 3);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(kept(), 2);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    let path = host.stack.deployment.dir().join("agnes.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let serving = host.publish("LABEL version=four");
    std::fs::write(&path, format!("{text}probes = [\"/api/health\"]\n")).unwrap();
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&serving);
    std::fs::write(&path, format!("{text}probes = [\"/no/such/page\"]\n")).unwrap();
    host.publish("LABEL version=five");
    let failed = host.upgrade(&[]).exits(100);
    assert!(
        failed.stderr.contains("/no/such/page: HTTP 404"),
        "{}",
        failed.stderr
    );
}

#[test]
fn u01_a_version_that_cannot_read_the_data_never_comes_to_the_swap() {
    let Some(host) = Host::up("") else {
        return;
    };
    let bad = host.publish("ENTRYPOINT [\"/bin/busybox\", \"false\"]");
    let app = host.stack.app.clone();
    let failed = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(
        failed.detail("failed_step"),
        "rehearse",
        "{}",
        failed.stdout
    );
    assert_eq!(failed.detail("held_ms"), &Value::Null);
    assert_eq!(app, host.stack.project.container("app").unwrap());
    host.clean();
    let again = host.upgrade(&[]).exits(0);
    assert_eq!(again.detail("reason"), "in-ledger");
    assert_eq!(again.detail("ledger")[0]["digest"], bad.as_str());
}

//! One screen with the truth: on a host that is well, on one that is sick, on an empty one, and again and again.

use agnes_e2e::deployment::{Deployment, Ran, agnes_ops, run};
use xtask::checkout;

use crate::doctor::Well;

/// What programs rely on.
#[track_caller]
fn fits_the_schema(ran: &Ran) {
    let path = checkout::root()
        .unwrap()
        .join("docs/schema/status.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(&ran.json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}: {}", ran.stdout);
}

/// As people see it.
fn screen(deployment: &Deployment) -> String {
    let mut command = deployment.command(&["status"]);
    command.env("TERM", "xterm-256color");
    let said = command.output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn one_screen_says_what_runs_what_is_kept_and_what_to_do() {
    let well = Well::new();
    let ran = well.ops(&["status"]).exits(0);
    fits_the_schema(&ran);
    assert_eq!(ran.detail("next"), "nothing");
    assert_eq!(ran.detail("secrets.in_place"), 3);
    assert_eq!(ran.detail("release.ready"), true);
    let text = screen(&well.deployment);
    for label in [
        "deployment",
        "release",
        "certificate",
        "secrets",
        "snapshots",
        "timers",
        "jobs",
        "disks",
        "lock",
        "next tick",
        "next",
    ] {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{label:<13} "))),
            "{label}: {text}"
        );
    }
    assert!(
        !text.contains('\u{1b}'),
        "colours are for terminals: {text}"
    );
    println!("{text}");

    // what is wrong, with the first step
    well.env("TLS_SERVED_ADDRESS", "127.0.0.1:1");
    let ran = well.ops(&["status"]).exits(10);
    fits_the_schema(&ran);
    assert_eq!(ran.detail("findings")[0]["id"], "tls.listens");
    assert_eq!(ran.detail("next"), &ran.detail("findings")[0]["next"]);
    assert!(screen(&well.deployment).contains("finding       tls.listens: "));

    // without its server it says so
    well.ops(&["down"]).exits(0);
    let ran = well.ops(&["status"]).exits(10);
    fits_the_schema(&ran);
    assert_eq!(ran.detail("findings")[0]["id"], "server.answers");
}

#[test]
fn an_empty_host_has_a_screen_too() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(agnes_ops());
    command
        .args(["status", "--json"])
        .env_clear()
        .env("AGNES_RUNTIME", "process")
        .env("DATA_DIR", empty.path().join("data"));
    let ran = run(command).exits(0);
    fits_the_schema(&ran);
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    // one that was named and is not there is a slip
    let mut command = std::process::Command::new(agnes_ops());
    command
        .args(["-C", "/no/such/directory", "status", "--json"])
        .env_clear();
    run(command).exits(78);
}

#[test]
fn a_screen_that_is_watched_comes_again() {
    let empty = Deployment::new();
    let mut command = empty.command(&["status", "--watch"]);
    command.stdout(std::process::Stdio::piped());
    let mut watched = command.spawn().unwrap();
    let mut out = std::io::BufReader::new(watched.stdout.take().unwrap());
    let mut screens = 0;
    let mut line = String::new();
    while screens < 2 {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
        screens += usize::from(line.starts_with("deployment "));
    }
    // whoever reads no longer ends it
    drop(out);
    assert!(watched.wait().unwrap().code().is_some());
}

#[test]
fn what_could_not_be_written_is_told() {
    let deployment = Deployment::new();
    let mut command = deployment.command(&["status"]);
    command.stdout(
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("could not be written"), "{said}");
}

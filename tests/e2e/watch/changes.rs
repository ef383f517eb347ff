//! W05: what is another since the last look is told once; calls that fail after a commit are the commit's.

use agnes_e2e::api::Caller;
use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use serde_json::{Value, json};

use super::Receiver;
use crate::doctor::disk::up_on;

fn changes(ran: &Ran) -> Vec<Value> {
    ran.detail("changes").as_array().unwrap().clone()
}

fn pid(deployment: &Deployment) -> nix::unistd::Pid {
    let text = std::fs::read_to_string(deployment.state().join("agnesd.pid")).unwrap();
    nix::unistd::Pid::from_raw(text.trim().parse().unwrap())
}

#[test]
fn w05_a_server_that_was_started_anew_is_told_once_and_not_when_we_did_it() {
    let receiver = Receiver::start();
    let address = ports::free_address();
    let deployment = Deployment::process(address).with("ALERT_JSON_URL", receiver.url("json"));
    let watch = || deployment.ops(&["watch"]).exits(0);
    deployment.ops(&["up"]).exits(0);
    assert!(changes(&watch()).is_empty());
    deployment.ops(&["down"]).exits(0);
    deployment.ops(&["up"]).exits(0);
    assert!(changes(&watch()).is_empty());
    receiver.took("/json");

    // as the kernel ends one for its memory, and somebody else starts it again
    nix::sys::signal::kill(pid(&deployment), nix::sys::signal::Signal::SIGKILL).unwrap();
    let patience = std::time::Duration::from_secs(20);
    let start = || {
        let mut server = agnes_e2e::process::Daemon::spawn(&mut deployment.server_command())?;
        server.wait_for("serving http", patience)?;
        anyhow::Ok(server)
    };
    let begun = std::time::Instant::now();
    let _by_hand = loop {
        match start() {
            Ok(server) => break server,
            // the kernel takes a moment to let go of what the killed one held
            Err(why) => assert!(begun.elapsed() < patience, "{why:#}"),
        }
    };
    receiver
        .status
        .store(503, std::sync::atomic::Ordering::SeqCst);
    let seen = watch();
    assert_eq!(changes(&seen).len(), 1, "{}", seen.stdout);
    assert_eq!(changes(&seen)[0]["id"], "changed.restarts");
    // it waits until somebody takes it, and is then over
    receiver
        .status
        .store(200, std::sync::atomic::Ordering::SeqCst);
    let told = |receiver: &Receiver| {
        let took = receiver.took("/json").into_iter();
        let took = took.filter(|one| one["id"] == "changed.restarts");
        took.collect::<Vec<Value>>()
    };
    assert!(changes(&watch()).is_empty());
    let took = told(&receiver);
    assert_eq!(took.len(), 1, "{took:?}");
    let evidence = took[0]["evidence"].as_str().unwrap();
    assert!(
        evidence.contains("none of our commands did it"),
        "{evidence}"
    );
    assert_eq!(took[0]["state"], "open");
    watch();
    assert!(told(&receiver).is_empty());
}

#[test]
fn w05_calls_that_fail_since_a_commit_are_the_commits() {
    let address = ports::free_address();
    // a checkpoint on a full disk would end the server
    let deployment = Deployment::process(address).toml("[store]\ncheckpoint_every = \"12h\"\n");
    let Some(disk) = up_on(&deployment, 200) else {
        return;
    };
    let admin = Caller::of(address).first_admin();
    let watch = || deployment.ops(&["watch"]).exits(0);
    watch();
    for _ in 0..20 {
        admin.get("/api/me").is(200);
    }
    watch();
    // the proof of an upgrade, as one leaves it
    let at = |secs: i64| {
        let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(secs);
        at.format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let history = deployment.state().join("ops/history/upgrade");
    std::fs::create_dir_all(&history).unwrap();
    let release = |n: u32| {
        json!({"image": format!("registry.example.com/agnes:{n}"), "image_id": format!("sha256:{n:064}"),
               "digest": format!("sha256:{n:064}")})
    };
    let proof = json!({"id": "1", "outcome": "changed", "from": release(1), "to": release(2), "started_at": at(0),
                       "ended_at": at(0), "back": false, "migrates": false, "rehearsal": false});
    std::fs::write(history.join("1.json"), proof.to_string()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let regressed = |ran: &Ran| {
        let findings = ran.detail("findings").as_array().unwrap().iter();
        findings
            .filter(|one| one["id"] == "upgrade.regressed")
            .cloned()
            .collect::<Vec<_>>()
    };
    admin.get("/api/me").is(200);
    assert!(regressed(&watch()).is_empty());
    // a probe that says "not ready" and calls that are held are no failures
    disk.fill();
    // what the log had put aside takes a few more
    let mut failed = 0;
    for n in 0..1000 {
        let said = admin.post("/api/groups", &json!({"name": format!("group-{n}")}));
        failed += u32::from(said.status >= 500);
        if failed == 6 {
            break;
        }
    }
    assert_eq!(failed, 6);
    disk.free();
    let seen = watch();
    let found = regressed(&seen);
    assert_eq!(found.len(), 1, "{}", seen.stdout);
    let evidence = found[0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("6 of "), "{evidence}");
    assert!(evidence.contains("in the hour before 0 of "), "{evidence}");
    // and an hour later it is over
    let mut proof = proof;
    proof["started_at"] = at(-2 * 60 * 60).into();
    proof["ended_at"] = at(-2 * 60 * 60).into();
    std::fs::write(history.join("1.json"), proof.to_string()).unwrap();
    assert!(regressed(&watch()).is_empty());
    // a disk that was full leaves a log to fold in, which the stop says
    deployment.ops(&["down"]);
}

#[test]
fn w02_a_full_disk_keeps_nobody_from_being_told() {
    let receiver = Receiver::start();
    let deployment =
        Deployment::process(ports::free_address()).with("ALERT_JSON_URL", receiver.url("json"));
    let Some(disk) = up_on(&deployment, 120) else {
        return;
    };
    // one finding that will be over, and another one that comes with the full disk
    disk.fill_but(40 << 10);
    deployment.ops(&["watch"]).exits(0);
    assert!(
        receiver
            .took("/json")
            .iter()
            .any(|one| one["object"].as_str().unwrap().ends_with("snapshots"))
    );
    disk.fill();
    deployment.ops(&["watch"]).exits(0);
    let took = receiver.took("/json");
    let full = took.iter().any(|one| {
        one["id"] == "disk.space" && one["evidence"].as_str().unwrap().contains(" MiB of ")
    });
    assert!(full, "{took:?}");
    disk.free();
    deployment.ops(&["down"]);
}

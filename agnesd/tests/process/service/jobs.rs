//! Scheduled jobs (A12): single flight, durable runs, what a kill leaves, where a job may call.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::client::{ADMIN, Caller, PASSWORD, SCHEDULER, member, started_with, usual};
use super::control::Control;
use crate::server::{PATIENCE, Place};

/// Writes the deployment's `agnes.toml`; [`Place::command`] points at this directory.
fn toml(place: &Place, text: &str) {
    let dir = place.path().join("absent");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("agnes.toml"), text).unwrap();
}

async fn job(caller: &Caller, name: &str) -> Value {
    let jobs = caller.get("/api/jobs").await;
    let found = jobs.items().iter().find(|job| job["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {jobs:?}"))
        .clone()
}

/// Waits until the job's last run has this outcome.
async fn until(caller: &Caller, name: &str, outcome: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let job = job(caller, name).await;
        if job["last_outcome"] == outcome {
            return job;
        }
        assert!(Instant::now() < end, "{job}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the job does not run.
async fn until_idle(caller: &Caller, name: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let job = job(caller, name).await;
        if job["running"] == false {
            return;
        }
        assert!(Instant::now() < end, "{job}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server that answers each request with 200 after `delay`, and says what the requests were.
fn outside(delay: Duration) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let send = send.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or(0);
                let _ = send.send(String::from_utf8_lossy(&head[..length]).into_owned());
                std::thread::sleep(delay);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            });
        }
    });
    (port, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_calls_this_server_as_the_scheduler_and_nobody_can_pretend_to() {
    let place = Place::new();
    toml(
        &place,
        "[[jobs]]\nname = \"look\"\nschedule = \"daily 03:00\"\npath = \"/api/jobs\"\nmethod = \"GET\"\n\n[[jobs]]\nname = \"reach\"\nschedule = \"daily 03:00\"\npath = \"/api/users\"\nmethod = \"GET\"\nretries = 0\n",
    );
    let (_server, anyone, admin) = started_with(&place, |_| {}).await;
    let scheduler = anyone.bearing(SCHEDULER);
    let reply = scheduler.post("/api/jobs/look/run", json!({})).await;
    assert_eq!(
        (reply.status, reply.text("status").as_str()),
        (202, "started")
    );
    let look = until(&admin, "look", "success").await;
    assert_eq!(
        (look["built_in"].clone(), look["target"].clone()),
        (json!(false), json!("/api/jobs"))
    );
    assert!(look["next_run_at"].is_string() && look["last_took_ms"].is_u64());
    // it is the scheduler, so what the scheduler may not see it may not either
    assert_eq!(
        admin.post("/api/jobs/reach/run", json!({})).await.status,
        202
    );
    let reach = until(&admin, "reach", "failure").await;
    assert_eq!(reach["last_error"], "answered with HTTP 403");
    let rows = admin.audit("job.run").await;
    let mut actors: Vec<_> = rows
        .iter()
        .map(|row| row["actor"].as_str().unwrap())
        .collect();
    actors.sort_unstable();
    assert_eq!(actors, [ADMIN, "scheduler@system.local"]);
    assert_eq!(admin.audit("job.failed").await.len(), 1);
    assert_eq!(
        admin.post("/api/jobs/nothing/run", json!({})).await.status,
        404
    );
    let stranger = member(&admin, &anyone, "one@example.com").await;
    let reply = stranger.post("/api/jobs/look/run", json!({})).await;
    assert_eq!(
        (reply.status, reply.text("role").as_str()),
        (403, "job_operator")
    );
    for name in ["checkpoint", "expire", "audit-head", "self-check"] {
        assert_eq!(job(&admin, name).await["built_in"], true, "{name}");
        assert_eq!(
            admin
                .post(&format!("/api/jobs/{name}/run"), json!({}))
                .await
                .status
                / 100,
            2
        );
        until(&admin, name, "success").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_job_never_runs_twice_at_once_and_ends_in_its_time() {
    let place = Place::new();
    let (port, requests) = outside(Duration::from_secs(30));
    toml(
        &place,
        &format!(
            "[[jobs]]\nname = \"slow\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/\"\ntimeout = \"2s\"\nretries = 0\n"
        ),
    );
    let (mut server, _, admin) = started_with(&place, |command| {
        command.env("ALLOWED_PRIVATE_NETS", "127.0.0.0/8");
    })
    .await;
    assert_eq!(
        admin.post("/api/jobs/slow/run", json!({})).await.status,
        202
    );
    requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(job(&admin, "slow").await["running"], true);
    for _ in 0..5 {
        assert_eq!(
            admin.post("/api/jobs/slow/run", json!({})).await.status,
            409
        );
    }
    let slow = until(&admin, "slow", "timeout").await;
    assert_eq!(slow["consecutive_failures"], 1);
    assert!(requests.try_recv().is_err(), "it was called once");
    assert_eq!(server.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_run_that_a_kill_cut_off_is_found_and_a_restart_fires_nothing_again() {
    let place = Place::new();
    let (port, requests) = outside(Duration::from_secs(30));
    toml(
        &place,
        &format!(
            "[[jobs]]\nname = \"slow\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/\"\nretries = 0\n"
        ),
    );
    let private = |command: &mut std::process::Command| {
        command.env("ALLOWED_PRIVATE_NETS", "127.0.0.0/8");
    };
    let (mut server, _, admin) = started_with(&place, private).await;
    assert_eq!(
        admin.post("/api/jobs/slow/run", json!({})).await.status,
        202
    );
    requests.recv_timeout(PATIENCE).unwrap();
    server.signal(Signal::SIGKILL);
    server.wait(PATIENCE);
    for _ in 0..3 {
        let mut server = place.start_with(|command| {
            usual(command);
            private(command);
        });
        let admin = Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
        let slow = until(&admin, "slow", "interrupted").await;
        assert_eq!(slow["consecutive_failures"], 1, "counted once");
        assert_eq!(server.stop(), 0);
    }
    assert!(requests.try_recv().is_err(), "no restart fired it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_outside_only_where_it_may_and_shows_only_the_credential_it_was_given() {
    let place = Place::new();
    let (port, requests) = outside(Duration::ZERO);
    let jobs = format!(
        "[[jobs]]\nname = \"plain\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/a?key=hidden\"\nretries = 0\n\n[[jobs]]\nname = \"known\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/b\"\ntoken_env = \"EXPORT_TOKEN\"\nretries = 0\n"
    );
    toml(&place, &jobs);
    let token = |command: &mut std::process::Command| {
        command.env("EXPORT_TOKEN", "a-token-for-the-other-side");
    };
    let (mut server, _, admin) = started_with(&place, token).await;
    assert_eq!(
        admin.post("/api/jobs/plain/run", json!({})).await.status,
        202
    );
    let refused = until(&admin, "plain", "failure").await;
    assert!(
        refused["last_error"].as_str().unwrap().contains("loopback"),
        "{refused}"
    );
    assert!(requests.try_recv().is_err(), "nothing was sent");
    assert_eq!(server.stop(), 0);

    let server = place.start_with(|command| {
        usual(command);
        token(command);
        command.env("ALLOWED_PRIVATE_NETS", "127.0.0.1");
    });
    let admin = Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
    assert_eq!(
        admin.post("/api/jobs/plain/run", json!({})).await.status,
        202
    );
    until(&admin, "plain", "success").await;
    let plain = requests
        .recv_timeout(PATIENCE)
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        plain.starts_with("post /a?key=hidden") && !plain.contains("authorization"),
        "{plain}"
    );
    assert_eq!(
        admin.post("/api/jobs/known/run", json!({})).await.status,
        202
    );
    until(&admin, "known", "success").await;
    let known = requests
        .recv_timeout(PATIENCE)
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        known.contains("authorization: bearer a-token-for-the-other-side"),
        "{known}"
    );
    assert!(!server.log().contains("hidden"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_shows_how_it_went_the_last_time() {
    let place = Place::new();
    let (port, requests) = outside(Duration::from_secs(2));
    toml(
        &place,
        &format!(
            "[[jobs]]\nname = \"slow\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/\"\nretries = 0\n"
        ),
    );
    let (_server, _, admin) = started_with(&place, |command| {
        command.env("ALLOWED_PRIVATE_NETS", "127.0.0.0/8");
    })
    .await;
    let slow = job(&admin, "slow").await;
    assert_eq!(slow["last_outcome"], json!(null), "it never ran");
    let ask = async || admin.post("/api/jobs/slow/run", json!({})).await.status;
    assert_eq!(ask().await, 202);
    requests.recv_timeout(PATIENCE).unwrap();
    let slow = job(&admin, "slow").await;
    assert_eq!(
        (
            &slow["running"],
            &slow["last_outcome"],
            &slow["last_started_at"]
        ),
        (&json!(true), &json!(null), &json!(null)),
        "none has ended: {slow}"
    );
    let first = until(&admin, "slow", "success").await;
    assert_eq!(first["running"], false);
    assert_eq!(ask().await, 202);
    requests.recv_timeout(PATIENCE).unwrap();
    let second = job(&admin, "slow").await;
    assert_eq!(second["running"], true);
    for field in [
        "last_outcome",
        "last_started_at",
        "last_finished_at",
        "last_took_ms",
    ] {
        assert_eq!(second[field], first[field], "{field}");
    }
    let since = second["running_since"].as_str().unwrap();
    assert!(
        since > first["last_finished_at"].as_str().unwrap(),
        "{second}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_run_that_ends_during_a_hold_keeps_its_outcome_over_a_stop_and_a_kill() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let place = Place::new();
        let (port, requests) = outside(Duration::from_secs(1));
        toml(
            &place,
            &format!(
                "[[jobs]]\nname = \"slow\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:{port}/\"\nretries = 0\n\n[[jobs]]\nname = \"fails\"\nschedule = \"daily 03:00\"\nurl = \"http://127.0.0.1:1/\"\nretries = 0\n"
            ),
        );
        let private = |command: &mut std::process::Command| {
            command.env("ALLOWED_PRIVATE_NETS", "127.0.0.0/8");
        };
        let (mut server, _, admin) = started_with(&place, private).await;
        let control = Control::of(&place);
        assert_eq!(
            admin.post("/api/jobs/fails/run", json!({})).await.status,
            202
        );
        until(&admin, "fails", "failure").await;
        assert_eq!(
            admin.post("/api/jobs/slow/run", json!({})).await.status,
            202
        );
        requests.recv_timeout(PATIENCE).unwrap();
        let held = control.post("/v1/writes/hold", json!({"id": "u"})).await;
        assert_eq!(held.0, 200);
        let ended = until(&admin, "slow", "success").await;
        assert_eq!(ended["running"], false, "{ended}");
        let kept = place.state().join("run/job-ends.json");
        let end = Instant::now() + PATIENCE;
        while !kept.exists() {
            assert!(Instant::now() < end, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.signal(signal);
        server.wait(PATIENCE);

        let mut server = place.start_with(|command| {
            usual(command);
            private(command);
        });
        let control = Control::of(&place);
        // still held: it is not written yet, and known
        let (_, jobs) = control.get("/v1/jobs").await;
        let jobs = jobs["items"].as_array().unwrap().clone();
        let slow = jobs.iter().find(|job| job["name"] == "slow").unwrap();
        assert_eq!(slow["last_outcome"], "success", "{slow}");
        let released = control.post("/v1/writes/release", json!({})).await;
        assert_eq!(released.0, 200);
        let end = Instant::now() + PATIENCE;
        while kept.exists() {
            assert!(Instant::now() < end, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let admin = Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
        let slow = job(&admin, "slow").await;
        for field in [
            "last_outcome",
            "last_started_at",
            "last_finished_at",
            "last_took_ms",
        ] {
            assert_eq!(slow[field], ended[field], "{signal}: {field}: {slow}");
        }
        assert_eq!(slow["consecutive_failures"], 0, "{slow}");
        assert_eq!(
            admin.post("/api/jobs/slow/run", json!({})).await.status,
            202,
            "it may run again"
        );
        requests.recv_timeout(PATIENCE).unwrap();
        until_idle(&admin, "slow").await;
        assert_eq!(admin.audit("job.failed").await.len(), 1, "the other one's");
        assert_eq!(server.stop(), 0, "{}", server.log());
    }
}

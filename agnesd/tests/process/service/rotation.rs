//! What the control socket says of keys and secrets while they are rotated (A03), and taking them up again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::client::{ADMIN, Caller, JWT_KEY, PASSWORD, SCHEDULER, started, started_with};
use super::control::Control;
use crate::pki::sha256;
use crate::server::{Place, Server};

const NEW_JWT: &str = "the-next-signing-key-of-this-test-0002";
const NEW_SCHEDULER: &str = "the-next-scheduler-secret-of-this-test";
const SESSION: &str = "a-cookie-key-for-tests-4c61b0d2aa97f3e8";

/// Secrets in files, and the server that reads them.
struct Files(PathBuf);

impl Files {
    fn of(place: &Place) -> Self {
        let files = Self(place.path().join("secrets"));
        fs::create_dir(&files.0).unwrap();
        files
    }

    fn write(&self, name: &str, secret: &str) {
        fs::write(self.0.join(name), secret).unwrap();
    }

    /// Every secret of this test comes from a file, also one that is not there yet.
    fn named(&self, command: &mut Command) {
        for name in [
            "JWT_SECRET_KEY",
            "JWT_SECRET_KEY_PREVIOUS",
            "SESSION_SECRET",
            "SCHEDULER_API_TOKEN",
            "SCHEDULER_API_TOKEN_PREVIOUS",
        ] {
            command.env(format!("{name}_FILE"), self.0.join(name));
        }
    }
}

/// A server whose secrets are in files.
async fn rotating(place: &Place) -> (Files, Server, Caller, Caller) {
    let files = Files::of(place);
    files.write("JWT_SECRET_KEY", JWT_KEY);
    files.write("SESSION_SECRET", SESSION);
    files.write("SCHEDULER_API_TOKEN", SCHEDULER);
    let (server, anyone, admin) = started_with(place, |command| files.named(command)).await;
    (files, server, anyone, admin)
}

async fn generations(control: &Control) -> Value {
    let (status, mut state) = control.get("/v1/state").await;
    assert_eq!(status, 200, "{state}");
    state["keys"]["generations"].take()
}

fn roles(keys: &Value) -> Vec<&str> {
    let keys = keys.as_array().unwrap().iter();
    keys.map(|key| key["role"].as_str().unwrap()).collect()
}

fn agents(callers: &Value) -> Vec<&str> {
    let callers = callers.as_array().unwrap().iter();
    callers
        .map(|caller| caller["user_agent"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_a_rotation_sees_who_calls_with_which_secret_and_who_has_not_moved() {
    let place = Place::new();
    let (files, _server, anyone, _) = rotating(&place).await;
    let control = Control::of(&place);
    let call = async |agent: &str, secret: &str| {
        let caller = anyone.bearing(secret).with_header("user-agent", agent);
        let reply = caller.get("/api/jobs").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let before = generations(&control).await;
    assert_eq!(roles(&before["scheduler"]), ["current"]);
    assert_eq!(before["scheduler"][0]["used"], Value::Null);
    // as docs/host-contract.md tells the operator's programs to make it
    let id = sha256(&[b"agnes key id\0", SCHEDULER.as_bytes()].concat());
    assert_eq!(before["scheduler"][0]["id"], id[..16]);
    call("cron/1", SCHEDULER).await;
    call("runner/2", SCHEDULER).await;

    files.write("SCHEDULER_API_TOKEN_PREVIOUS", SCHEDULER);
    files.write("SCHEDULER_API_TOKEN", NEW_SCHEDULER);
    let (status, reloaded) = control.post("/v1/keys/reload", json!({})).await;
    assert_eq!(status, 200, "{reloaded}");
    assert_eq!(reloaded["outcome"], "changed");
    assert_eq!(reloaded["changed"], json!(["scheduler"]));
    let staged = generations(&control).await;
    assert_eq!(roles(&staged["scheduler"]), ["current", "previous"]);
    let (current, previous) = (&staged["scheduler"][0], &staged["scheduler"][1]);
    assert_eq!(previous["id"], before["scheduler"][0]["id"], "it moved on");
    assert_eq!(
        previous["used"]["count"], 2,
        "what it was used for is known"
    );
    assert_eq!(current["used"], Value::Null);
    assert_eq!(
        agents(&staged["scheduler_not_moved"]),
        ["runner/2", "cron/1"]
    );

    call("runner/2", NEW_SCHEDULER).await;
    call("cron/1", SCHEDULER).await;
    let moving = generations(&control).await;
    let left = &moving["scheduler_not_moved"];
    assert_eq!(agents(left), ["cron/1"]);
    assert_eq!(
        (&left[0]["address"], &left[0]["count"]),
        (&json!("127.0.0.1"), &json!(2))
    );
    assert!(left[0]["last_used_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        agents(&moving["scheduler"][0]["callers"]),
        ["runner/2"],
        "{moving}"
    );
    call("cron/1", NEW_SCHEDULER).await;
    let moved = generations(&control).await;
    assert_eq!(moved["scheduler_not_moved"], json!([]));
    assert_eq!(moved["scheduler"][0]["used"]["count"], 2);

    fs::remove_file(files.0.join("SCHEDULER_API_TOKEN_PREVIOUS")).unwrap();
    control.post("/v1/keys/reload", json!({})).await;
    let refused = anyone.bearing(SCHEDULER).get("/api/jobs").await;
    assert_eq!(refused.status, 401);
    let (_, state) = control.get("/v1/state").await;
    assert_eq!(
        roles(&state["keys"]["generations"]["scheduler"]),
        ["current"]
    );
    assert_eq!(state["keys"]["scheduler"], true);
    let told = state.to_string();
    for secret in [JWT_KEY, SESSION, SCHEDULER, NEW_SCHEDULER] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_s_own_jobs_are_no_callers_of_the_scheduler_s_secret() {
    let place = Place::new();
    let (_server, anyone, _) = started(&place).await;
    let control = Control::of(&place);
    let scheduler = anyone.bearing(SCHEDULER);
    let run = scheduler.post("/api/jobs/checkpoint/run", json!({})).await;
    assert!(run.status < 300, "{run:?}");
    let seen = generations(&control).await;
    assert_eq!(seen["scheduler"][0]["used"]["count"], 1);
    let refused = scheduler.get("/api/users").await;
    assert_eq!(refused.status, 403);
    let seen = generations(&control).await;
    assert_eq!(
        seen["scheduler"][0]["used"]["count"], 2,
        "it is a caller, whatever it may"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_a_rotation_sees_when_a_token_of_the_previous_key_was_last_accepted() {
    let place = Place::new();
    let (files, _server, anyone, before) = rotating(&place).await;
    let control = Control::of(&place);
    let first = generations(&control).await;
    assert_eq!(roles(&first["jwt"]), ["current"]);
    assert_eq!(first["jwt"][0]["signs"], true);
    assert_eq!(first["jwt"][0]["of_this_process"], false);
    // cookies
    assert_eq!(roles(&first["session"]), ["current"]);
    assert_eq!(first["session"][0]["signs"], true);
    assert_eq!(before.get("/api/me").await.status, 200);

    files.write("JWT_SECRET_KEY_PREVIOUS", JWT_KEY);
    files.write("JWT_SECRET_KEY", NEW_JWT);
    control.post("/v1/keys/reload", json!({})).await;
    let staged = generations(&control).await;
    assert_eq!(roles(&staged["jwt"]), ["current", "previous"]);
    assert_eq!(staged["jwt"][1]["id"], first["jwt"][0]["id"]);
    assert_eq!(staged["jwt"][1]["accepted"], 0);
    assert_eq!(staged["jwt"][1]["last_accepted_at"], Value::Null);
    for _ in 0..3 {
        assert_eq!(before.get("/api/me").await.status, 200);
    }
    let after = anyone.signed_in(ADMIN, PASSWORD).await;
    assert_eq!(after.get("/api/me").await.status, 200);
    let used = generations(&control).await;
    assert_eq!(
        used["jwt"][1]["accepted"], 3,
        "each call, not each token: {used}"
    );
    assert!(used["jwt"][1]["last_accepted_at"].is_string(), "{used}");
    assert!(used["jwt"][0].get("accepted").is_none(), "{used}");
    // another secret that changes leaves the count alone
    files.write("SCHEDULER_API_TOKEN", NEW_SCHEDULER);
    control.post("/v1/keys/reload", json!({})).await;
    assert_eq!(generations(&control).await["jwt"][1]["accepted"], 3);
    let (_, state) = control.get("/v1/state").await;
    let ids = state["keys"]["jwt"].as_array().unwrap();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], state["keys"]["generations"]["jwt"][0]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_the_same_by_signal_and_by_socket_and_says_when_nothing_changed() {
    let place = Place::new();
    let (files, mut server, _, admin) = rotating(&place).await;
    let control = Control::of(&place);
    let (status, nothing) = control.post("/v1/keys/reload", json!({})).await;
    assert_eq!(status, 200, "{nothing}");
    assert_eq!(nothing["outcome"], "unchanged");
    assert_eq!(nothing["changed"], json!([]));
    assert_eq!(nothing["keys"].as_array().unwrap().len(), 1);
    assert_eq!(nothing["scheduler"], true);
    server.signal(Signal::SIGHUP);
    server.until_logged("SIGHUP: secrets taken up, unchanged");

    files.write("JWT_SECRET_KEY_PREVIOUS", NEW_JWT);
    server.signal(Signal::SIGHUP);
    server.until_logged("SIGHUP: secrets taken up, changed");
    fs::remove_file(files.0.join("JWT_SECRET_KEY_PREVIOUS")).unwrap();
    control.post("/v1/keys/reload", json!({})).await;
    server.until_logged("control-socket: secrets taken up, changed");
    files.write("JWT_SECRET_KEY", "short");
    server.signal(Signal::SIGHUP);
    server.until_logged("SIGHUP: secrets refused, those in use stay");
    assert_eq!(control.post("/v1/keys/reload", json!({})).await.0, 422);

    // six reloads, six rows, alike but for who asked
    let rows = loop {
        let rows = admin.audit("keys.reloaded").await;
        if rows.len() == 6 {
            break rows;
        }
        assert!(rows.len() < 6, "{rows:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let told: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| {
            let changed = row["metadata"].get("changed").cloned();
            (
                row["actor"].as_str().unwrap(),
                row["outcome"].as_str().unwrap(),
                changed,
            )
        })
        .collect();
    let jwt = || Some(json!(["jwt"]));
    let none = || Some(json!([]));
    assert_eq!(
        told,
        [
            ("control-socket", "success", none()),
            ("server", "success", none()),
            ("server", "success", jwt()),
            ("control-socket", "success", jwt()),
            ("server", "failure", None),
            ("control-socket", "failure", None),
        ]
    );
    let refused = &rows[0]["metadata"];
    assert!(
        refused["why"].as_str().unwrap().contains("JWT_SECRET_KEY"),
        "{refused}"
    );
    assert!(rows.iter().all(|row| row["metadata"]["ids"].is_array()));
}

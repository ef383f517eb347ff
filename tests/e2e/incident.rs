//! W07: what the runbooks of an incident do, with the real programs: shutting somebody out, more calls for one, the audit log.

use std::io::Write as _;
use std::process::Stdio;

use agnes_e2e::api::{ADMIN, Caller, PASSWORD};
use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use serde_json::{Value, json};

const MALLORY: &str = "mallory@example.com";

/// A server of this host with an administrator.
struct Host {
    deployment: Deployment,
    anyone: Caller,
    admin: Caller,
}

impl Host {
    fn new() -> Self {
        Self::with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "1000")
    }

    fn with(key: &str, value: &str) -> Self {
        let address = ports::free_address();
        let deployment = Deployment::process(address).with(key, value);
        deployment.ops(&["up"]).exits(0);
        let anyone = Caller::of(address);
        let admin = anyone.first_admin();
        Self {
            deployment,
            anyone,
            admin,
        }
    }

    /// A further person, signed in.
    fn member(&self, email: &str) -> Caller {
        let form = json!({"email": email, "password": PASSWORD});
        self.admin.post("/api/users", &form).is(201);
        self.anyone.signed_in(email)
    }

    fn ops(&self, verb: &[&str]) -> Ran {
        self.deployment.ops(verb)
    }

    fn records(&self) -> Vec<Value> {
        let list = self.ops(&["incident", "list"]).exits(0);
        list.detail("incidents").as_array().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

#[test]
fn w07_a_person_is_contained_and_what_was_done_in_that_name_is_shown() {
    let host = Host::new();
    let mallory = host.member(MALLORY);
    let made = mallory.post("/auth/tokens", &json!({"name": "ci"})).is(201);
    let token = host.anyone.bearing(&made.text("token"));
    token.get("/api/users").is(403);
    token.get("/api/me").is(200);

    // planned, and not confirmed: nothing happens
    let planned = host.ops(&["incident", "contain", MALLORY, "--dry-run"]);
    let planned = planned.exits(0).with_outcome("unchanged");
    assert_eq!(planned.json["steps"][0]["result"], "planned");
    let refused = host.ops(&["incident", "contain", MALLORY]).exits(1);
    assert_eq!(refused.detail("reason"), "not-confirmed");
    token.get("/api/me").is(200);
    assert_eq!(host.records(), [Value::Null; 0]);

    let done = host.ops(&["incident", "contain", "Mallory@Example.com", "--yes"]);
    let done = done.exits(0).with_outcome("changed");
    assert_eq!(done.detail("shut_out"), "disabled");
    assert_eq!(done.detail("sessions_ended"), 1);
    assert_eq!(done.detail("tokens_revoked"), 1);
    let activity = done.detail("activity");
    assert_eq!(
        activity["changes"][0]["action"], "token.issued",
        "{activity}"
    );
    assert_eq!(
        activity["by_ip"]["127.0.0.1"].as_i64(),
        activity["events"].as_i64()
    );
    assert!(activity["denied"].as_i64().unwrap() >= 1, "{activity}");
    for caller in [&mallory, &token] {
        caller.get("/api/me").is(401);
    }
    host.anyone.sign_in(MALLORY).is(401);

    let records = host.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["state"], "done");
    assert_eq!(records[0]["principal"], MALLORY);
    assert_eq!(records[0]["before"]["user"]["disabled"], false);
    assert_eq!(records[0]["result"]["after"]["user"]["disabled"], true);
    let path = done.detail("record").as_str().unwrap().to_owned();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it says what people did");

    let again = host
        .ops(&["incident", "contain", MALLORY, "--yes"])
        .exits(0);
    assert_eq!(again.detail("shut_out"), "disabled-before");
    let rows = host.ops(&["audit", "--action", "user.contained"]).exits(0);
    assert_eq!(rows.detail("rows").as_array().unwrap().len(), 2);
    assert_eq!(rows.detail("rows")[0]["actor"], "control-socket");
}

#[test]
fn w07_who_cannot_be_contained_is_named_and_a_hold_is_waited_for() {
    let host = Host::new();
    host.ops(&["snapshot", "create"]).exits(0);
    let nobody = host
        .ops(&["incident", "contain", "nobody@example.com", "--yes"])
        .exits(1);
    assert_eq!(nobody.detail("reason"), "no-such-principal");
    assert!(
        nobody.stderr.contains("nobody@example.com"),
        "{}",
        nobody.stderr
    );
    host.anyone.bearing("x").get("/api/me").is(401);
    let own = host
        .ops(&["incident", "contain", "scheduler@system.local", "--yes"])
        .exits(1);
    assert_eq!(own.detail("reason"), "built-in");
    assert!(
        own.stderr.contains("secrets rotate scheduler --now"),
        "{}",
        own.stderr
    );

    // while an upgrade holds writes, what is done could be lost on the way back
    let socket = host.deployment.dir().join("data/run/agnesd.sock");
    let hold = |path: &str| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sf", "-X", "POST", "--unix-socket"])
            .arg(&socket);
        curl.args([
            "-H",
            "content-type: application/json",
            "-d",
            r#"{"id":"u1"}"#,
        ]);
        assert!(
            curl.arg(format!("http://x/v1/writes/{path}"))
                .status()
                .unwrap()
                .success()
        );
    };
    hold("hold");
    let held = host.ops(&["incident", "contain", ADMIN, "--yes"]).exits(75);
    assert_eq!(held.detail("reason"), "writes-held");
    assert_eq!(host.records()[0]["state"], "failed");
    host.admin.get("/api/me").is(200);
    hold("release");

    // the deployment's own lock is somebody else's affair
    let upgrade = std::fs::File::open(host.deployment.dir().join(".lock")).unwrap();
    upgrade.lock().unwrap();
    let last = host.ops(&["incident", "contain", ADMIN, "--yes"]).exits(0);
    assert_eq!(last.detail("shut_out"), "password-replaced");
    host.admin.get("/api/me").is(401);
    host.anyone.sign_in(ADMIN).is(401);

    host.ops(&["down"]).exits(75);
    drop(upgrade);
    // an older snapshot lets in whom it knows, and says so
    let older = host.deployment.ops(&["snapshot", "list"]).exits(0);
    let older = older.detail("snapshots")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let dry = host
        .ops(&["snapshot", "restore", &older, "--dry-run"])
        .exits(0);
    assert_eq!(
        dry.detail("lost.contained"),
        &json!([ADMIN]),
        "{}",
        dry.stdout
    );
    host.ops(&["down"]).exits(0);
    let absent = host.ops(&["incident", "contain", ADMIN, "--yes"]).exits(1);
    assert_eq!(absent.detail("reason"), "server-absent");
}

#[test]
fn w07_who_is_limited_is_seen_and_gets_more_until_a_time() {
    let host = Host::with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "6");
    let sync = host.member("sync@example.com");
    let nobody = host.ops(&["incident", "rate-limit"]).exits(0);
    assert_eq!(nobody.detail("limited"), &json!([]));
    let limited = |caller: &Caller| (0..12).any(|_| caller.get("/api/me").status == 429);
    assert!(limited(&sync));
    let seen = host.ops(&["incident", "rate-limit"]).exits(0);
    let one = &seen.detail("limited")[0];
    assert_eq!(
        (&one["kind"], &one["email"]),
        (&json!("principal"), &json!("sync@example.com"))
    );
    assert_eq!(one["signs"], json!([]), "{one}");
    assert!(one["limit"]["refused"].as_u64().unwrap() > 0, "{one}");

    let raise = [
        "incident",
        "rate-limit",
        "sync@example.com",
        "--per-min",
        "500",
        "--for",
        "2h",
    ];
    let refused = host.ops(&raise).exits(1);
    assert_eq!(refused.detail("reason"), "not-confirmed");
    assert!(limited(&sync));
    let raised = host
        .ops(&[&raise[..], &["--yes"]].concat())
        .exits(0)
        .with_outcome("changed");
    assert_eq!(raised.detail("per_min"), 500);
    assert!(raised.detail("until").is_string());
    assert!(!limited(&sync));
    let little = [
        "incident",
        "rate-limit",
        "sync@example.com",
        "--per-min",
        "3",
        "--for",
        "2h",
        "--yes",
    ];
    let little = host.ops(&little).exits(1);
    assert_eq!(
        little.detail("reason"),
        "server-refused",
        "{}",
        little.stderr
    );

    let end = [
        "incident",
        "rate-limit",
        "sync@example.com",
        "--end",
        "--yes",
    ];
    host.ops(&end).exits(0).with_outcome("changed");
    assert!(limited(&sync));
    host.ops(&end).exits(0).with_outcome("unchanged");
    let states: Vec<Value> = host
        .records()
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert_eq!(states, ["done", "failed", "done"]);

    // somebody who tries what is not allowed is shown as that
    let mallory = host.member(MALLORY);
    assert!((0..20).any(|_| mallory.get("/api/users").status == 429));
    host.deployment.ops(&["audit"]).exits(0);
    let seen = host.ops(&["incident", "rate-limit", MALLORY]).exits(0);
    let signs = &seen.detail("limited")[0]["signs"];
    assert!(
        signs[0]
            .as_str()
            .unwrap()
            .contains("were not allowed in the last hour"),
        "{signs}"
    );

    // half a command is none
    for half in [
        &[
            "incident",
            "rate-limit",
            "sync@example.com",
            "--per-min",
            "9",
        ][..],
        &["incident", "rate-limit", "--per-min", "9", "--for", "2h"],
        &["incident", "rate-limit", "sync@example.com", "--for", "2h"],
        &["incident", "rate-limit", "--end"],
    ] {
        assert_eq!(host.ops(half).code, 2, "{half:?}");
    }
}

#[test]
fn w07_a_person_at_a_terminal_is_asked() {
    let host = Host::new();
    host.member(MALLORY);
    let program = agnes_e2e::deployment::agnes_ops();
    let dir = host.deployment.dir().display().to_string();
    let ask = |answer: &str, yes: &str| {
        let line = format!(
            "{} -C {dir} incident contain {MALLORY} {yes}",
            program.display()
        );
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        let ended = child.wait_with_output().unwrap();
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned(),
        )
    };
    let (code, said) = ask("n\n", "");
    assert!(
        said.contains("disable mallory@example.com, end 1 sessions"),
        "{said}"
    );
    assert!(said.contains("do it? [y/N]"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(host.records(), [Value::Null; 0]);
    let (code, said) = ask("y\n", "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("disabled; 1 sessions ended"), "{said}");
    // who has said yes already is not asked, and what is typed ahead is no answer
    let (code, said) = ask("n\n", "--yes");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !said.contains("[y/N]") && said.contains("was disabled before"),
        "{said}"
    );
}

#[test]
fn a10_the_audit_log_is_read_and_its_chain_verified() {
    let host = Host::new();
    host.member(MALLORY);
    let all = host.ops(&["audit", "--limit", "5"]).exits(0);
    assert_eq!(all.detail("rows").as_array().unwrap().len(), 5);
    assert_eq!(all.detail("more"), true);
    assert_eq!(all.detail("chain.findings"), &json!([]));
    let total = all.detail("chain.rows").as_u64().unwrap();
    let whole = host.ops(&["audit", "--limit", "100000"]).exits(0);
    let rows = whole.detail("rows").as_array().unwrap();
    assert!(rows.len() as u64 >= total, "{} of {total}", rows.len());
    assert_eq!(whole.detail("more"), false);
    let of = |arguments: &[&str]| {
        let ran = host.ops(&[&["audit"], arguments].concat()).exits(0);
        let rows = ran.detail("rows").as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["action"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&["--actor", ADMIN, "--action", "user.created"]),
        ["user.created"]
    );
    assert_eq!(of(&["--from", "2100-01-01"]), [""; 0]);
    assert_eq!(of(&["--to", "2000-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(host.ops(&["audit", "--from", "yesterday"]).code, 2);
    let text = agnes_e2e::deployment::run(host.deployment.command(&["audit"])).exits(0);
    assert!(text.stdout.contains("user.created"), "{}", text.stdout);
    assert!(
        text.stdout
            .lines()
            .last()
            .unwrap()
            .starts_with("chain: sound: "),
        "{}",
        text.stdout
    );

    // the witness beside the database is another row's: somebody put something back
    let head = host.deployment.state().join("audit.head");
    let mut witness: Value = serde_json::from_slice(&std::fs::read(&head).unwrap()).unwrap();
    witness["hash"] = json!("00".repeat(32));
    std::fs::write(&head, witness.to_string()).unwrap();
    let damaged = host.ops(&["audit", "--limit", "1"]).exits(1);
    assert_eq!(damaged.detail("reason"), "audit-damaged");
    assert_eq!(
        damaged.detail("rows").as_array().unwrap().len(),
        1,
        "rows are shown all the same"
    );

    host.ops(&["down"]).exits(0);
    let absent = host.ops(&["audit"]).exits(1);
    assert_eq!(absent.detail("reason"), "server-absent");
}

#[test]
fn w07_a_stranger_who_tries_credentials_is_told_from_an_office_behind_one_address() {
    let host = Host::with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "20");
    let limited = || {
        let seen = host.ops(&["incident", "rate-limit"]).exits(0);
        let all = seen.detail("limited").as_array().unwrap().clone();
        all.into_iter().find(|one| one["kind"] == "address")
    };
    assert!((0..40).any(|_| host.anyone.get("/api/version").status == 429));
    let office = limited().unwrap();
    assert_eq!(
        (&office["key"], &office["signs"]),
        (&json!("127.0.0.1"), &json!([]))
    );
    for _ in 0..5 {
        host.anyone.bearing("guessed").get("/api/me");
    }
    let stranger = limited().unwrap();
    assert!(
        stranger["denied_last_hour"].as_i64().unwrap() >= 5,
        "{stranger}"
    );
    assert!(
        stranger["signs"][0].as_str().unwrap().contains("refused"),
        "{stranger}"
    );
}

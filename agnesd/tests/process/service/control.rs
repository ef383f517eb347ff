//! The control socket: who is answered, the hold, snapshots, links, keys.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::client::{ADMIN, Caller, started, usual};
use crate::server::{PATIENCE, Place, Server};

/// A caller of the socket in this place.
pub(super) struct Control(Client);

impl Control {
    pub(super) fn of(place: &Place) -> Self {
        Self::at(socket(place))
    }

    pub(super) fn at(socket: std::path::PathBuf) -> Self {
        Self(Client::builder().unix_socket(socket).build().unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self
            .0
            .get(format!("http://control{path}"))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, body).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::PUT, path, body).await
    }

    pub(super) async fn delete(&self, path: &str) -> (u16, Value) {
        self.call(Method::DELETE, path, Value::Null).await
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.0.request(method, format!("http://control{path}"));
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

pub(super) fn socket(place: &Place) -> std::path::PathBuf {
    place.state().join("run/agnesd.sock")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_its_owner_alone_and_goes_with_the_server() {
    let place = Place::new();
    let (mut server, _, _) = started(&place).await;
    let mode = std::fs::metadata(socket(&place))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (status, state) = Control::of(&place).get("/v1/state").await;
    assert_eq!(status, 200, "{state}");
    assert_eq!(state["writes"], "open");
    assert_eq!(state["ready"], true);
    assert_eq!(state["pid"], server.pid());
    assert_eq!(state["keys"]["scheduler"], true);
    assert_eq!(state["schema"], 4);
    if nix::unistd::geteuid().is_root() {
        // as somebody else: the directory is shut; and with the doors opened the kernel still says who it is
        for path in [
            place.path().to_owned(),
            place.state(),
            place.state().join("run"),
        ] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(socket(&place), std::fs::Permissions::from_mode(0o666)).unwrap();
        let stranger = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "curl",
                "-s",
                "--unix-socket",
            ])
            .arg(socket(&place))
            .args(["-w", "%{http_code}", "http://control/v1/state"])
            .output()
            .unwrap();
        let said = String::from_utf8(stranger.stdout).unwrap();
        assert!(said.ends_with("403"), "{said}");
        assert!(!said.contains("uptime_secs"), "{said}");
    }
    assert_eq!(server.stop(), 0);
    assert!(!socket(&place).exists());
    // one that a killed server left is no obstacle
    let mut server = place.start_with(usual);
    server.signal(Signal::SIGKILL);
    server.wait(PATIENCE);
    assert!(socket(&place).exists());
    let _server = place.start_with(usual);
    assert_eq!(Control::of(&place).get("/v1/state").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_socket_is_served_on_tcp() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    for path in ["/v1/state", "/v1/audit", "/v1/jobs"] {
        assert_eq!(anyone.get(path).await.status, 404, "{path}");
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    assert_eq!(
        admin
            .post("/v1/writes/hold", json!({"id": "x"}))
            .await
            .status,
        404
    );
    assert_eq!(admin.post("/v1/keys/reload", json!({})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_writes_are_told_to_come_again_reads_go_on_and_a_restart_keeps_the_hold() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    let control = Control::of(&place);
    let (status, hold) = control
        .post("/v1/writes/hold", json!({"id": "u1", "by": "a test"}))
        .await;
    assert_eq!((status, hold["id"].as_str()), (200, Some("u1")), "{hold}");
    assert_eq!(
        control.post("/v1/writes/hold", json!({"id": "u1"})).await.0,
        200,
        "again is fine"
    );
    assert_eq!(
        control.post("/v1/writes/hold", json!({"id": "u2"})).await.0,
        409
    );
    let check = async |admin: &Caller, server: &Server| {
        let refused = admin.post("/api/groups", json!({"name": "held"})).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.text("reason"), "writes-held");
        assert_eq!(admin.get("/api/me").await.status, 200);
        assert_eq!(admin.get("/api/audit").await.status, 200);
        let ready = Caller::of(server).get("/readyz").await;
        assert_eq!((ready.status, ready.text("writes").as_str()), (200, "held"));
    };
    check(&admin, &server).await;
    assert_eq!(control.post("/v1/canary", json!({})).await.0, 200);
    assert_eq!(server.stop(), 0);

    let server = place.start_with(usual);
    assert!(
        server.log().contains("writes are held by a test"),
        "{}",
        server.log()
    );
    // the administrator's session was begun before
    let reply = Caller::of(&server)
        .sign_in(ADMIN, super::client::PASSWORD)
        .await;
    assert_eq!(reply.status, 503, "a sign-in writes a session");
    let control = Control::of(&place);
    assert_eq!(control.get("/v1/state").await.1["hold"]["id"], "u1");
    assert_eq!(
        control
            .post("/v1/writes/release", json!({"id": "u2"}))
            .await
            .0,
        409
    );
    let (status, released) = control
        .post("/v1/writes/release", json!({"id": "u1"}))
        .await;
    assert_eq!(
        (status, released["released"]["id"].as_str()),
        (200, Some("u1"))
    );
    let admin = Caller::of(&server)
        .signed_in(ADMIN, super::client::PASSWORD)
        .await;
    assert_eq!(
        admin
            .post("/api/groups", json!({"name": "free"}))
            .await
            .status,
        201
    );
    assert_eq!(admin.audit("writes.held").await.len(), 2);
    assert_eq!(
        admin.audit("writes.released").await[0]["actor"],
        "control-socket"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_acknowledged_after_a_hold_was_answered() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    let control = Control::of(&place);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (admin, stop) = (admin.clone(), std::sync::Arc::clone(&stop));
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let name = format!("g-{writer}-{n}");
                let reply = admin.post("/api/groups", json!({"name": name})).await;
                match reply.status {
                    201 => acknowledged.push(name),
                    status => assert_eq!(status, 503),
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    control.post("/v1/writes/hold", json!({"id": "u"})).await;
    let held = admin.get("/api/groups").await;
    let held = held.items().len();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let acknowledged: usize = writers.join_all().await.iter().map(Vec::len).sum();
    assert!(acknowledged > 0);
    let after = admin.get("/api/groups").await;
    assert_eq!(after.items().len(), held, "nothing came after the answer");
    assert_eq!(
        after.items().len(),
        acknowledged + 1,
        "and what was acknowledged is there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_proven_copy_made_while_writes_go_on() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    for n in 0..20 {
        assert_eq!(
            admin
                .post("/api/groups", json!({"name": format!("g{n}")}))
                .await
                .status,
            201
        );
    }
    let control = Control::of(&place);
    let (status, made) = control
        .post("/v1/snapshot", json!({"name": "before-1"}))
        .await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["tables"]["groups"]["rows"], 21);
    assert_eq!(made["schema"], 4);
    assert!(made["pause_ms"].is_u64() && made["sha256"].as_str().unwrap().len() == 64);
    let path = made["path"].as_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_agnesd"))
        .args(["db", "verify", "--json", path])
        .env("METRICS_ADDR", "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // the lock of the live file was not lost over it (S12)
    let (code, said) = place.refused(|_| {});
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        control
            .post("/v1/snapshot", json!({"name": "before-1"}))
            .await
            .0,
        409
    );
    for name in ["", ".", "..", "../x", "a/b", "-a", "x.part"] {
        assert_eq!(
            control.post("/v1/snapshot", json!({"name": name})).await.0,
            422,
            "{name:?}"
        );
    }
    assert_eq!(
        admin
            .post("/api/groups", json!({"name": "after"}))
            .await
            .status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a05_a_sign_in_link_works_for_one_of_a_hundred() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let control = Control::of(&place);
    assert_eq!(
        control
            .post("/v1/sign-in-link", json!({"email": "nobody@example.com"}))
            .await
            .0,
        404
    );
    assert_eq!(
        control
            .post(
                "/v1/sign-in-link",
                json!({"email": "scheduler@system.local"})
            )
            .await
            .0,
        404
    );
    let (status, link) = control
        .post("/v1/sign-in-link", json!({"email": ADMIN}))
        .await;
    assert_eq!(status, 201, "{link}");
    let token = link["token"].as_str().unwrap().to_owned();
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (anyone, token) = (anyone.clone(), token.clone());
        tries.spawn(async move {
            anyone
                .post("/auth/magic/verify", json!({"token": token}))
                .await
        });
    }
    let replies = tries.join_all().await;
    let won: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(won.len(), 1);
    let caller = anyone.bearing(&won[0].text("access_token"));
    assert_eq!(caller.get("/api/users").await.status, 200);
    assert_eq!(admin.audit("sign_in_link.issued").await.len(), 1);
    let rows = admin.get("/api/audit?limit=1000").await;
    assert!(
        !rows.body.to_string().contains(&token),
        "the secret is nowhere in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_up_again_by_the_socket_too() {
    let place = Place::new();
    let file = place.path().join("jwt");
    std::fs::write(&file, "the-first-signing-key-of-this-test-01").unwrap();
    let (_server, _, admin) = super::client::started_with(&place, |command| {
        command.env("JWT_SECRET_KEY_FILE", &file);
    })
    .await;
    let control = Control::of(&place);
    std::fs::write(&file, "short").unwrap();
    let (status, problem) = control.post("/v1/keys/reload", json!({})).await;
    assert_eq!(status, 422, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("JWT_SECRET_KEY"),
        "{problem}"
    );
    assert_eq!(admin.get("/api/me").await.status, 200);
    std::fs::write(&file, "the-second-signing-key-of-this-test-2").unwrap();
    assert_eq!(control.post("/v1/keys/reload", json!({})).await.0, 200);
    assert_eq!(
        admin.get("/api/me").await.status,
        401,
        "the first key had no successor to live beside"
    );
    let (_, audit) = control.get("/v1/audit?action=keys.reloaded").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
}

/// A head on the socket whose body never comes whole.
fn half_a_request(place: &Place) -> UnixStream {
    let mut stream = UnixStream::connect(socket(place)).unwrap();
    let head =
        "POST /v1/writes/hold HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: 50\r\n\r\n{{").unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_the_socket_that_never_ends_holds_a_stop_no_longer_than_the_drain() {
    let place = Place::new();
    let deployment = place.path().join("deployment");
    std::fs::create_dir(&deployment).unwrap();
    std::fs::write(deployment.join("agnes.toml"), "[server]\ndrain = \"1s\"\n").unwrap();
    let mut server = place.start_with(|command| {
        usual(command);
        command.env("AGNES_DIR", &deployment);
    });
    let control = Control::of(&place);
    let _half = half_a_request(&place);
    // the server has accepted both once it answers the later one
    assert_eq!(control.get("/v1/state").await.0, 200);
    drop(control);
    server.signal(Signal::SIGTERM);
    let status = server.wait(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(
        server.log().contains("were cut off after 1s"),
        "{}",
        server.log()
    );
    assert!(!socket(&place).exists(), "the socket goes all the same");

    // the same, hurried by a second signal
    let mut server = place.start_with(usual);
    let _half = half_a_request(&place);
    assert_eq!(Control::of(&place).get("/v1/state").await.0, 200);
    server.signal(Signal::SIGTERM);
    server.until_logged("listeners close");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(1), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_caller_went_away_ends_and_is_never_joined_by_another() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    let control = Control::of(&place);
    let snapshots = place.state().join("snapshots");
    // what a killed server would leave, and what is not ours
    std::fs::create_dir_all(snapshots.join("old.part")).unwrap();
    std::fs::write(snapshots.join("old.part/system.duckdb"), "half").unwrap();
    std::fs::write(snapshots.join("notes.part"), "a person's").unwrap();
    let mut first = UnixStream::connect(socket(&place)).unwrap();
    let body = json!({"name": "one"}).to_string();
    let head = "POST /v1/snapshot HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\n";
    write!(first, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let begun = snapshots.join("one.part");
    let end = std::time::Instant::now() + PATIENCE;
    while !begun.exists() {
        assert!(std::time::Instant::now() < end, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    drop(first);
    // until the abandoned one has ended, every other is told so; then it is there, whole
    let mut met = 0;
    loop {
        let (status, said) = control.post("/v1/snapshot", json!({"name": "one"})).await;
        assert_eq!(status, 409, "{said}");
        if said["reason"] != "snapshot-running" {
            break;
        }
        met += 1;
        assert!(std::time::Instant::now() < end, "{}", server.log());
    }
    assert!(met > 0, "it was still being made");
    assert!(snapshots.join("one/system.duckdb").is_file() && !begun.exists());
    assert!(!snapshots.join("old.part").exists() && snapshots.join("notes.part").exists());
    assert_eq!(admin.audit("snapshot.created").await.len(), 1);
    assert_eq!(
        control.post("/v1/snapshot", json!({"name": "two"})).await.0,
        200
    );
    assert_eq!(server.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_needs_no_body_and_one_that_is_not_understood_releases_nothing() {
    let place = Place::new();
    let (_server, _, _) = started(&place).await;
    let control = Control::of(&place);
    let held = control.post("/v1/writes/hold", json!({"id": "u1"})).await;
    assert_eq!(held.0, 200);
    let release = || control.0.post("http://control/v1/writes/release");
    for odd in ["u1", "{\"id\": 1}", "[]x"] {
        let status = release().body(odd).send().await.unwrap().status();
        assert_eq!(status.as_u16(), 400, "{odd}");
    }
    assert_eq!(control.get("/v1/state").await.1["writes"], "held");
    assert_eq!(release().send().await.unwrap().status().as_u16(), 200);
    assert_eq!(control.get("/v1/state").await.1["writes"], "open");
}

//! The control socket as a place: what it says of the server, who acted on it, and that nobody can sit on it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;

use super::client::{ADMIN, started, started_with, usual};
use super::control::{Control, socket};
use crate::pki::Pki;
use crate::server::{PATIENCE, Place};

#[tokio::test(flavor = "multi_thread")]
async fn the_state_says_since_when_and_where_the_server_listens() {
    let (place, pki) = (Place::new(), Pki::new());
    place.install(1, &pki.pair());
    let (server, _, _) = started_with(&place, |command| {
        command
            .env("AGNES_TLS_LISTEN", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0");
    })
    .await;
    let (_, state) = Control::of(&place).get("/v1/state").await;
    let listeners = state["listeners"].as_array().unwrap();
    let at = |address: std::net::SocketAddr, scheme: &str| json!({"address": address.to_string(), "scheme": scheme, "serves": "api"});
    assert_eq!(listeners[0], at(server.http, "http"));
    assert_eq!(listeners[1], at(server.https.unwrap(), "https"));
    assert_eq!(listeners[2]["serves"], "metrics");
    let metrics = listeners[2]["address"].as_str().unwrap();
    let page = reqwest::get(format!("http://{metrics}/metrics"));
    assert_eq!(page.await.unwrap().status().as_u16(), 200);
    assert_eq!(listeners.len(), 3);
    let began = state["started_at"].as_str().unwrap();
    assert!(began.ends_with('Z') && began.starts_with("20"), "{began}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_on_the_socket_is_in_the_log_with_the_uid_and_pid_of_who_did_it() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    let control = Control::of(&place);
    for (path, body) in [
        ("/v1/keys/reload", json!({})),
        ("/v1/drain", json!({})),
        ("/v1/resume", json!({})),
        ("/v1/writes/hold", json!({"id": "u1"})),
        ("/v1/writes/release", json!({})),
        ("/v1/snapshot", json!({"name": "one"})),
        ("/v1/sign-in-link", json!({"email": ADMIN})),
    ] {
        let (status, said) = control.post(path, body).await;
        assert!(status < 300, "{path}: {said}");
    }
    let rows = admin.get("/api/audit?actor=control-socket").await;
    let mut actions: Vec<_> = rows
        .items()
        .iter()
        .map(|row| {
            let (uid, pid) = (&row["metadata"]["uid"], &row["metadata"]["pid"]);
            assert_eq!(*uid, nix::unistd::geteuid().as_raw(), "{row}");
            assert_eq!(*pid, std::process::id(), "{row}");
            row["action"].as_str().unwrap()
        })
        .collect();
    actions.sort_unstable();
    assert_eq!(
        actions,
        [
            "keys.reloaded",
            "server.drained",
            "server.resumed",
            "sign_in_link.issued",
            "snapshot.created",
            "writes.held",
            "writes.released",
        ]
    );
    // acts over TCP come from no process that the kernel names
    let others = admin.get("/api/audit?action=auth.bootstrapped").await;
    assert!(others.items()[0]["metadata"].get("uid").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_starve_nobody_and_hold_no_stop() {
    let place = Place::new();
    let mut server = place.start_with(usual);
    // more than the socket takes at once
    let mut silent: Vec<_> = (0..70)
        .map(|n| {
            let mut stream = UnixStream::connect(socket(&place)).unwrap();
            let said: &[u8] = [&b""[..], b"G", b"GET /v1/state HTTP/1.1\r\nHost: "][n % 3];
            stream.write_all(said).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let control = Control::of(&place);
    assert_eq!(control.get("/v1/state").await.0, 200);
    assert!(began.elapsed() < PATIENCE);
    // the first one was given up for it
    let first = &mut silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0);

    let more = UnixStream::connect(socket(&place)).unwrap();
    (&more).write_all(b"GET /v1/sta").unwrap();
    assert_eq!(control.get("/v1/state").await.0, 200);
    server.signal(Signal::SIGTERM);
    let status = tokio::task::spawn_blocking(move || server.wait(PATIENCE));
    assert_eq!(status.await.unwrap().code(), Some(0));
    drop((silent, more));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_on_the_socket_that_does_not_come_is_not_waited_for_long() {
    let place = Place::new();
    let _server = place.start_with(usual);
    let mut stream = UnixStream::connect(socket(&place)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "POST /v1/writes/hold HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: 50\r\n\r\n{{").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let control = Control::of(&place);
    let large = json!({"id": "x".repeat(100_000)});
    assert_eq!(control.post("/v1/writes/hold", large).await.0, 413);
    assert_eq!(control.get("/v1/state").await.1["writes"], "open");
}

//! Going down without losing what was asked.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::pki::Pki;
use crate::server::{PATIENCE, Place, Server, ask, connect};

/// A request whose body is not finished: in flight for as long as the test wants.
fn half_a_request(server: &Server) -> std::net::TcpStream {
    let mut stream = server.connect();
    let head = "POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{{", REST.len() + 1).unwrap();
    // asked on another connection afterwards: by its answer, the server has read the first half
    assert_eq!(server.get("/healthz").status, 200);
    std::thread::sleep(Duration::from_millis(50));
    stream
}

/// What is missing of it.
const REST: &str = "\"refresh_token\": \"none\"}";

fn place_with_drain(drain: &str) -> Place {
    let place = Place::new();
    fs::create_dir(place.path().join("absent")).unwrap();
    fs::write(
        place.path().join("absent/agnes.toml"),
        format!("[server]\ndrain = \"{drain}\"\n"),
    )
    .unwrap();
    place
}

#[test]
fn a_stop_finishes_the_request_in_flight_and_exits_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let mut server = place.start();
        let mut slow = half_a_request(&server);
        server.signal(signal);
        server.until_logged("listeners close");
        let closed = Instant::now();
        while connect(server.http).is_ok() {
            assert!(closed.elapsed() < PATIENCE, "the listener is still open");
        }
        assert!(server.running(), "waits for the request in flight");

        let answer = ask(&mut slow, REST).unwrap();
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (401, Some(401)),
            "{answer:?}"
        );
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert_eq!(server.wait(PATIENCE).code(), Some(0), "{}", server.log());
        assert!(!place.state().join("agnesd.pid").exists());
    }
}

#[test]
fn the_drain_deadline_cuts_what_does_not_finish() {
    let place = place_with_drain("1s");
    let mut server = place.start();
    let mut stuck = half_a_request(&server);
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(1));
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(900) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(
        server
            .log()
            .contains("stop: 1 connection(s) were cut off after 1s"),
        "{}",
        server.log()
    );
    assert!(!matches!(stuck.read(&mut [0; 16]), Ok(n) if n > 0));
    assert!(!place.state().join("agnesd.pid").exists());
}

#[test]
fn a_second_signal_does_not_wait() {
    let place = place_with_drain("60s");
    let mut server = place.start();
    let _stuck = half_a_request(&server);
    server.signal(Signal::SIGTERM);
    server.until_logged("listeners close");
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait(PATIENCE).code(), Some(1));
    assert!(
        server.log().contains("cut off by a second signal (SIGINT)"),
        "{}",
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_whole_request_do_not_delay_a_stop() {
    let (place, pki) = (place_with_drain("60s"), Pki::new());
    place.install(1, &pki.pair());
    let mut server = place.start_tls();
    let untouched = server.connect();
    let mut half_a_head = server.connect();
    write!(half_a_head, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-").unwrap();
    let half_shaken = connect(server.https.unwrap()).unwrap();
    (&half_shaken).write_all(&[0x16, 3, 1]).unwrap();
    let mut kept = server.connect();
    assert_eq!(
        ask(&mut kept, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
            .status,
        200
    );
    let root = reqwest::Certificate::from_pem(pki.root_pem().as_bytes()).unwrap();
    let http2 = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();
    let url = format!(
        "https://localhost:{}/api/health",
        server.https.unwrap().port()
    );
    assert_eq!(http2.get(url).send().await.unwrap().status().as_u16(), 200);

    server.signal(Signal::SIGTERM);
    let status = tokio::task::spawn_blocking(move || server.wait(PATIENCE))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    drop((untouched, half_a_head, half_shaken, kept, http2));
}

#[test]
fn a_pid_file_that_names_another_process_is_left_alone() {
    let place = Place::new();
    let mut server = place.start();
    let file = place.state().join("agnesd.pid");
    fs::write(&file, "1\n").unwrap();
    assert_eq!(server.stop(), 0);
    assert_eq!(fs::read_to_string(file).unwrap(), "1\n");
}

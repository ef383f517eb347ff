//! What every client may ask, and what it gets for asking something else.

use crate::server::{Place, ask};

#[test]
fn health_liveness_readiness_and_version_answer() {
    let place = Place::new();
    let server = place.start();

    let health = server.get("/api/health");
    assert_eq!(
        (health.status, health.body.as_str()),
        (200, r#"{"status":"ok"}"#)
    );
    assert!(
        health.head.contains("content-type: application/json\r\n"),
        "{}",
        health.head
    );
    assert_eq!(server.get("/healthz").status, 200);
    let ready = server.get("/readyz");
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (200, Some("ready"))
    );
    let version = server.get("/api/version");
    assert_eq!(
        (version.status, version.json()["version"].as_str()),
        (200, Some(env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn unknown_addresses_and_methods_are_problem_documents_that_repeat_nothing() {
    let place = Place::new();
    let server = place.start();

    for path in [
        "/nothing",
        "/api",
        "/api/health/",
        "/api/healthz",
        "/../etc/passwd",
        "/s3cret?token=s3cret",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer
                .head
                .contains("content-type: application/problem+json\r\n"),
            "{path}: {}",
            answer.head
        );
        assert_eq!(answer.json()["status"], 404, "{path}");
        assert!(!answer.body.contains("s3cret"), "{}", answer.body);
    }
    let post = "POST /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let answer = ask(&mut server.connect(), post).unwrap();
    assert_eq!(
        (answer.status, answer.json()["status"].as_u64()),
        (405, Some(405))
    );
    assert!(
        answer.head.contains("application/problem+json") && answer.head.contains("allow: get"),
        "{}",
        answer.head
    );
}

#[test]
fn a_connection_is_kept_for_further_requests() {
    let place = Place::new();
    let server = place.start();
    let mut stream = server.connect();
    for _ in 0..3 {
        assert_eq!(
            ask(&mut stream, "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap()
                .status,
            200
        );
    }
}

#[test]
fn garbage_on_a_connection_harms_nobody_else() {
    let place = Place::new();
    let mut server = place.start();
    for bytes in [
        "\0\u{1}\u{2}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET\r\n\r\n",
    ] {
        let _ = ask(&mut server.connect(), bytes);
    }
    assert_eq!(server.get("/api/health").status, 200);
    assert_eq!(server.stop(), 0);
    assert!(
        !server.log_since_serving().contains("ERROR")
            && !server.log_since_serving().contains("WARN"),
        "{}",
        server.log()
    );
}

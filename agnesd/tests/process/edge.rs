//! Hostile and careless requests on the wire: what they get, and that the next caller does not notice.

use std::io::{Read, Write};

use crate::pki::Pki;
use crate::server::{Answer, Place, Server, answer, ask};

fn send(server: &Server, head: &[u8]) -> Answer {
    let mut stream = server.connect();
    // the server may answer and close before it has read everything
    let _ = stream.write_all(head);
    answer(&mut stream).unwrap()
}

/// A request for the health route with one more header line.
fn with_line(method: &str, line: &[u8]) -> Vec<u8> {
    let start = format!("{method} /api/health HTTP/1.1\r\nHost: x\r\n");
    [start.as_bytes(), line, b"\r\n\r\n"].concat()
}

fn line<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let lines = answer.head.lines();
    lines
        .filter_map(|l| l.split_once(": "))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

#[test]
fn every_answer_is_named_and_carries_the_security_headers() {
    let place = Place::new();
    let server = place.start();
    for path in ["/api/health", "/absent"] {
        let answer = server.get(path);
        let id = line(&answer, "x-request-id").unwrap();
        assert_eq!(id.len(), 36, "{id}");
        if answer.status == 404 {
            assert_eq!(answer.json()["request_id"], id);
        }
        for (name, want) in [
            ("content-security-policy", Some("default-src 'self'")),
            ("x-frame-options", Some("deny")),
            ("x-content-type-options", Some("nosniff")),
            ("referrer-policy", Some("no-referrer")),
            ("strict-transport-security", None),
        ] {
            assert_eq!(line(&answer, name), want, "{name}");
        }
    }
}

#[test]
fn header_abuse_is_never_a_server_error() {
    let place = Place::new();
    let mut server = place.start();
    let long = |bytes| [b"X: ".as_slice(), &vec![b'a'; bytes]].concat();
    let many = vec!["X: y"; 200].join("\r\n");
    for (header, want) in [
        (b"Authorization: Bearer \xff\xfe\xc3".to_vec(), 200),
        (b"X-Request-Id: \xff".to_vec(), 200),
        (b"X-Forwarded-For: \xff, 127.0.0.1".to_vec(), 200),
        (b"Authorization: a\r\nAuthorization: b".to_vec(), 200),
        (b"Origin: \xff\r\nOrigin: null".to_vec(), 200),
        (b"X: a\x01b".to_vec(), 400),
        (b"X: a\0b".to_vec(), 400),
        (b"Content-Length: -1".to_vec(), 400),
        (b"Content-Length: 1\r\nContent-Length: 2".to_vec(), 400),
        (long(40 * 1024), 431),
        (long(100 * 1024), 431),
        (many.into_bytes(), 431),
    ] {
        let shown = String::from_utf8_lossy(&header[..header.len().min(40)]).into_owned();
        let answer = send(&server, &with_line("GET", &header));
        assert_eq!(answer.status, want, "{shown}");
        assert_eq!(server.get("/api/health").status, 200, "after {shown}");
    }
    let answer = send(&server, &with_line("GET", &long(40 * 1024)));
    assert_eq!(answer.json()["status"], 431);
    assert_eq!(server.stop(), 0);
    let log = server.log_since_serving();
    assert!(
        !log.contains("ERROR") && !log.contains("WARN") && !log.contains("panicked"),
        "{log}"
    );
}

#[test]
fn what_is_refused_before_there_is_a_request_has_a_status_and_no_body() {
    let place = Place::new();
    let mut server = place.start();
    let path = "a".repeat(70_000);
    let many = vec!["X: y"; 200].join("\r\n");
    for (request, want) in [
        (b"NONSENSE\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/3.0\r\n\r\n".to_vec(), 400),
        (
            format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
            414,
        ),
        (with_line("GET", many.as_bytes()), 431),
    ] {
        let answer = send(&server, &request);
        assert_eq!((answer.status, answer.body.as_str()), (want, ""));
        assert_eq!(line(&answer, "connection"), Some("close"), "{answer:?}");
    }
    assert_eq!(server.get("/api/health").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_declared_body_above_the_limit_is_refused_before_it_is_sent() {
    let place = Place::new();
    let server = place.start();
    for header in [
        "Content-Length: 1048577",
        "Content-Length: 1048577\r\nExpect: 100-continue",
    ] {
        let answer = send(&server, &with_line("POST", header.as_bytes()));
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (413, Some(413))
        );
    }
    let answer = send(&server, &with_line("POST", b"Content-Length: 1048576"));
    assert_eq!(answer.status, 405);
}

#[test]
fn an_address_above_eight_kibibytes_is_refused() {
    let place = Place::new();
    let server = place.start();
    for (bytes, want) in [(8192, 404), (8193, 414), (60_000, 414)] {
        let path = format!("/{}", "a".repeat(bytes - 1));
        let answer = server.get(&path);
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (want, Some(want.into()))
        );
    }
}

#[test]
fn hsts_is_sent_with_a_leaf_of_a_ca_and_not_with_a_bridge_that_signed_itself() {
    const GET: &str = "GET /absent HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (place, pki) = (Place::new(), Pki::new());
    place.install(1, &pki.pair());
    let mut server = place.start_tls();
    let answer = ask(&mut server.tls(&pki.client()), GET).unwrap();
    assert_eq!(
        line(&answer, "strict-transport-security"),
        Some("max-age=31536000")
    );
    // the plain listener beside it promises nothing
    assert_eq!(
        line(&server.get("/absent"), "strict-transport-security"),
        None
    );

    let (client, bridge) = Pki::bridge();
    place.install(2, &bridge);
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.until_logged("SIGUSR1: certificate taken up");
    let answer = ask(&mut server.tls(&client), GET).unwrap();
    assert_eq!(
        (answer.status, line(&answer, "strict-transport-security")),
        (404, None)
    );
}

#[test]
fn a_body_that_stops_half_way_holds_up_nobody_else() {
    let place = Place::new();
    let mut server = place.start();
    let mut stalled = server.connect();
    stalled
        .write_all(&with_line("POST", b"Content-Length: 10"))
        .unwrap();
    stalled.write_all(b"12345").unwrap();
    assert_eq!(server.get("/api/health").status, 200);
    // the route does not want the body: the client is told, and the connection is given up
    assert_eq!(answer(&mut stalled).unwrap().status, 405);
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert_eq!(server.stop(), 0);
}

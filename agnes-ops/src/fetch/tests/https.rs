//! Servers of https, and those that only say so.

use super::*;

#[test]
fn https_brings_the_body_and_sends_userinfo_as_a_header() {
    let web = Web::start();
    web.server.answer(Answer::Body {
        bytes: b"chain".to_vec(),
        etag: Some("\"v1\"".into()),
    });
    let Ok(Fetched::Body { bytes, etag }) = web.fetch() else {
        panic!("no body")
    };
    assert_eq!(
        (bytes.as_slice(), etag.as_deref()),
        (&b"chain"[..], Some("\"v1\""))
    );
    let request = web.server.requests().remove(0);
    assert_eq!(request.target, "/chain.pem?token=hunter2");
    assert!(
        request
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
    assert_eq!(request.header("accept-encoding"), Some("identity"));
}

#[test]
fn t16_an_unchanged_source_answers_304_without_a_body() {
    let web = Web::start();
    web.server.answer(Answer::Body {
        bytes: b"chain".to_vec(),
        etag: Some("\"v1\"".into()),
    });
    let url = web.server.url("/chain.pem");
    assert!(matches!(
        fetch_if(&web.options, &url, Some("\"v1\"")),
        Ok(Fetched::NotModified)
    ));
    assert_eq!(body(fetch_if(&web.options, &url, Some("\"v0\""))), b"chain");
    web.server.answer(Answer::status(304));
    failed(fetch(&web.options, &url), Reason::Malformed);
}

#[test]
fn t13_every_status_has_its_reason_and_only_transient_ones_are_tried_again() {
    let table = [
        (Reason::NotPublished, &[404, 410][..], 1),
        (Reason::Forbidden, &[401, 403, 407], 1),
        (Reason::Redirect, &[300, 301, 302, 303, 307, 308], 1),
        (Reason::Malformed, &[201, 204, 206, 400, 405, 418, 451], 1),
        (Reason::Transient, &[408, 425, 500, 503], 3),
    ];
    let web = Web::start();
    for (reason, statuses, attempts) in table {
        for status in statuses {
            let before = web.server.connections();
            web.server.answer(Answer::with_header(
                *status,
                "Location",
                "https://localhost:1/x?hunter2",
            ));
            let failure = failed(web.fetch(), reason);
            assert!(
                failure.message.ends_with(&format!("(HTTP {status})")),
                "{failure}"
            );
            assert_eq!(web.server.connections() - before, attempts, "HTTP {status}");
        }
    }
}

#[test]
fn t12_a_server_that_recovers_is_fetched_from_and_one_that_does_not_is_asked_three_times() {
    let web = Web::start();
    web.server.script([
        Answer::status(503),
        Answer::CloseAtOnce,
        Answer::ok("chain"),
    ]);
    assert_eq!(body(web.fetch()), b"chain");
    let before = web.server.connections();
    web.server.script([
        Answer::status(503),
        Answer::status(503),
        Answer::status(503),
        Answer::ok("chain"),
    ]);
    failed(web.fetch(), Reason::Transient);
    assert_eq!(web.server.connections() - before, 3);
}

#[test]
fn t12_a_short_retry_after_is_honoured_and_a_long_one_left_to_the_next_tick() {
    let web = Web::start();
    web.server.script([
        Answer::with_header(429, "Retry-After", "2"),
        Answer::ok("chain"),
    ]);
    let started = Clock::now();
    assert_eq!(body(web.fetch()), b"chain");
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );

    let before = web.server.connections();
    web.server
        .answer(Answer::with_header(429, "Retry-After", "3600"));
    failed(web.fetch(), Reason::Transient);
    assert_eq!(web.server.connections() - before, 1);
}

#[test]
fn t12_a_fetch_without_a_deadline_never_hangs_the_timer() {
    let mut web = Web::start();
    web.options.timeout = Duration::from_millis(1500);
    let slow = Answer::Late(Duration::from_secs(60), Box::new(Answer::ok("chain")));
    let dripping = Answer::Drip(vec![b'x'; 1000], Duration::from_millis(50));
    for answer in [Answer::Never, slow, dripping, Answer::NoHandshake] {
        web.server.answer(answer.clone());
        let started = Clock::now();
        let failure = failed(web.fetch(), Reason::Transient);
        let took = started.elapsed();
        assert!(
            took >= Duration::from_millis(1400) && took < Duration::from_secs(3),
            "{answer:?}: {took:?} {failure}"
        );
    }
}

#[test]
fn t12_a_handshake_that_hangs_ends_with_the_connect_timeout_and_is_tried_again() {
    let mut web = Web::start();
    web.options.connect_timeout = Duration::from_millis(300);
    web.server
        .script([Answer::NoHandshake, Answer::ok("chain")]);
    let started = Clock::now();
    assert_eq!(body(web.fetch()), b"chain");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn t12_a_body_is_never_read_past_its_cap() {
    let mut web = Web::start();
    web.options.max_bytes = 100_000;
    web.server.answer(Answer::ok(vec![b'x'; 100_000]));
    assert_eq!(body(web.fetch()).len(), 100_000);
    for answer in [
        Answer::ok(vec![b'x'; 100_001]),
        Answer::Endless,
        Answer::Length(1 << 40, b"x".to_vec()),
    ] {
        let before = web.server.connections();
        web.server.answer(answer);
        failed(web.fetch(), Reason::TooLarge);
        assert_eq!(web.server.connections() - before, 1);
    }
}

#[test]
fn t06_a_truncated_body_is_transient_and_never_handed_on() {
    let web = Web::start();
    web.server
        .answer(Answer::Length(100, b"-----BEGIN".to_vec()));
    failed(web.fetch(), Reason::Transient);
    web.server.answer(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nchain\r\n".to_vec(),
    ));
    failed(web.fetch(), Reason::Transient);
    assert_eq!(web.server.connections(), 6);
}

#[test]
fn t06_what_is_no_http_no_tls_or_compressed_is_malformed() {
    let web = Web::start();
    let garbage = Answer::Raw(b"SSH-2.0-OpenSSH_9.2 hunter2\r\n\r\n".to_vec());
    let plain = Answer::NoTls(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let bomb = Answer::with_header(200, "Content-Encoding", "gzip");
    for answer in [garbage, plain, bomb] {
        let before = web.server.connections();
        web.server.answer(answer.clone());
        let failure = failed(web.fetch(), Reason::Malformed);
        assert_eq!(
            web.server.connections() - before,
            1,
            "{answer:?}: {failure}"
        );
    }
}

#[test]
fn t13_nobody_there_is_transient() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let failure = failed(
        fetch(&options(), &format!("https://localhost:{port}/x?hunter2")),
        Reason::Transient,
    );
    assert!(failure.message.contains("refused"), "{failure}");
    let web = Web::start();
    web.server.answer(Answer::CloseAtOnce);
    failed(web.fetch(), Reason::Transient);
}

#[test]
fn t13_a_server_that_cannot_prove_its_name_is_forbidden_with_the_way_out() {
    let expired = Web::with(
        &["localhost"],
        Validity {
            from_days: -60,
            to_days: -1,
        },
    );
    let early = Web::with(
        &["localhost"],
        Validity {
            from_days: 2,
            to_days: 30,
        },
    );
    let other = Web::with(&["pki.example.com"], CURRENT);
    let mut untrusted = Web::start();
    let foreign = untrusted.dir.path().join("other.pem");
    std::fs::write(&foreign, Ca::new("Other Root").pem()).unwrap();
    untrusted.options.ca_bundle = Some(foreign);
    let mut by_host = Web::start();
    by_host.options.ca_bundle = None;
    for (web, words) in [
        (expired, "has expired"),
        (early, "is not valid yet"),
        (other, "is for another name"),
        (untrusted, "is not trusted"),
        (by_host, "is not trusted"),
    ] {
        web.server.answer(Answer::ok("chain"));
        let failure = failed(web.fetch(), Reason::Forbidden);
        assert!(failure.message.contains(words), "{failure}");
        assert!(failure.hint.unwrap().contains("TLS_CA_BUNDLE"));
        assert_eq!(
            (web.server.connections(), web.server.requests().len()),
            (1, 0)
        );
    }
}

#[test]
fn a_ca_bundle_that_cannot_be_used_is_named() {
    let mut web = Web::start();
    let path = web.dir.path().join("bundle.pem");
    web.options.ca_bundle = Some(path.clone());
    let broken = b"-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n";
    let junk = b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for content in [
        None,
        Some(&b""[..]),
        Some(b"hunter2"),
        Some(broken),
        Some(junk),
    ] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let failure = failed(web.fetch(), Reason::Malformed);
        assert!(
            failure
                .message
                .starts_with(&format!("TLS_CA_BUNDLE {}", path.display())),
            "{failure}"
        );
    }
    let fifo = web.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for blocking in [fifo, "/dev/zero".into()] {
        web.options.ca_bundle = Some(blocking);
        failed(web.fetch(), Reason::Malformed);
    }
    assert_eq!(web.server.connections(), 0);
}

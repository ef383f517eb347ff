//! Every reason, by a real server that causes it.

#![allow(
    clippy::disallowed_methods,
    reason = "tests write their files and read the clock themselves"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant as Clock;

use agnes_e2e::gcs::Gcs;
use agnes_e2e::https_source::{Answer, CURRENT, Ca, HttpsSource, Validity};
use agnes_e2e::secret_manager::{Mode, SecretManager};
use tempfile::TempDir;

use super::*;

const NO_PRODUCT: &str = "/nonexistent/product_name";

fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(10),
        max_bytes: 1 << 20,
        ca_bundle: None,
        sm_endpoint: None,
        gcs_endpoint: None,
        google_project: None,
        environment: Environment {
            product_name_file: NO_PRODUCT.into(),
            ..Environment::default()
        },
    }
}

/// An https server, a fetcher that trusts its CA, and the directory of the bundle.
struct Web {
    server: HttpsSource,
    options: Options,
    dir: TempDir,
}

impl Web {
    fn start() -> Self {
        Self::with(&["localhost"], CURRENT)
    }

    fn with(names: &[&str], validity: Validity) -> Self {
        let ca = Ca::new("Test Root");
        let dir = TempDir::new().unwrap();
        let bundle = dir.path().join("ca.pem");
        std::fs::write(&bundle, ca.pem()).unwrap();
        let server = HttpsSource::start(&ca.server(names, validity));
        Self {
            server,
            options: Options {
                ca_bundle: Some(bundle),
                ..options()
            },
            dir,
        }
    }

    fn fetch(&self) -> Result<Fetched, Failure> {
        fetch(
            &self.options,
            &self
                .server
                .url("/chain.pem?token=hunter2")
                .replace("//", "//user:hunter2@"),
        )
    }
}

fn fetch(options: &Options, url: &str) -> Result<Fetched, Failure> {
    fetch_if(options, url, None)
}

/// Runs in a thread that is given up on: a fetch that hangs fails its test instead of hanging it.
fn fetch_if(options: &Options, url: &str, etag: Option<&str>) -> Result<Fetched, Failure> {
    let (options, url, etag) = (
        options.clone(),
        url.parse::<SourceUrl>()?,
        etag.map(str::to_owned),
    );
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(Fetcher::new(options).fetch(&url, etag.as_deref()));
    });
    let fetched = wait
        .recv_timeout(Duration::from_secs(30))
        .expect("the fetch never ended");
    if let Err(failure) = &fetched {
        let shown = format!("{failure} {failure:?}");
        assert!(
            !shown.contains("hunter2") && !failure.to_string().contains('\n'),
            "{shown}"
        );
        assert!(
            failure
                .to_string()
                .starts_with(&format!("fetch {}: ", failure.url)),
            "{failure}"
        );
    }
    fetched
}

#[track_caller]
fn body(fetched: Result<Fetched, Failure>) -> Vec<u8> {
    match fetched {
        Ok(Fetched::Body { bytes, .. }) => bytes.to_vec(),
        Ok(Fetched::NotModified) => panic!("not modified"),
        Err(failure) => panic!("{failure}"),
    }
}

#[track_caller]
fn failed(fetched: Result<Fetched, Failure>, reason: Reason) -> Failure {
    match fetched {
        Err(failure) => {
            assert_eq!(failure.reason, reason, "{failure}");
            failure
        }
        Ok(_) => panic!("fetched, though {} was due", reason.as_str()),
    }
}

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

fn with_secrets(server: &SecretManager) -> Options {
    Options {
        sm_endpoint: Some(server.endpoint()),
        google_project: Some("agnes-test".into()),
        ..options()
    }
}

#[test]
fn sm_brings_the_version_that_was_asked_for() {
    let server = SecretManager::start();
    server.add("agnes-test", "fullchain", "one");
    server.add("agnes-test", "fullchain", "two");
    let other: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    server.add("other-project", "fullchain", other.clone());
    let options = with_secrets(&server);
    assert_eq!(body(fetch(&options, "sm://fullchain")), b"two");
    assert_eq!(body(fetch(&options, "sm://other-project/fullchain")), other);
    assert_eq!(
        body(fetch(
            &options,
            "sm://projects/agnes-test/secrets/fullchain/versions/1"
        )),
        b"one"
    );
    let capped = Options {
        max_bytes: 59_999,
        ..options
    };
    failed(
        fetch(&capped, "sm://other-project/fullchain"),
        Reason::TooLarge,
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
}

#[test]
fn t13_every_answer_of_secret_manager_has_its_reason() {
    let server = SecretManager::start();
    server.add("agnes-test", "fullchain", "hunter2");
    let options = with_secrets(&server);
    let failure = failed(fetch(&options, "sm://absent"), Reason::NotPublished);
    assert_eq!(
        failure.to_string(),
        "fetch sm://absent: not found (HTTP 404)"
    );
    let table = [
        (
            Mode::Disabled,
            Reason::NotPublished,
            "disabled or destroyed",
            1,
        ),
        (
            Mode::Destroyed,
            Reason::NotPublished,
            "disabled or destroyed",
            1,
        ),
        (
            Mode::Forbidden,
            Reason::Forbidden,
            "permission denied (HTTP 403)",
            1,
        ),
        (
            Mode::Unauthenticated,
            Reason::Forbidden,
            "permission denied (HTTP 401)",
            1,
        ),
        (Mode::Internal, Reason::Transient, "(HTTP 500)", 3),
        (Mode::Unavailable, Reason::Transient, "(HTTP 503)", 3),
        (Mode::HtmlError, Reason::Transient, "(HTTP 500)", 3),
        (Mode::Redirect, Reason::Redirect, "(HTTP 302)", 1),
        (Mode::WrongChecksum, Reason::Malformed, "CRC32C", 1),
        (Mode::BadBase64, Reason::Malformed, "decoded", 1),
        (Mode::CutJson, Reason::Malformed, "decoded", 1),
    ];
    for (mode, reason, words, attempts) in table {
        server.set(mode);
        let before = server.requests().len();
        let failure = failed(fetch(&options, "sm://fullchain"), reason);
        assert!(failure.message.contains(words), "{mode:?}: {failure}");
        assert_eq!(server.requests().len() - before, attempts, "{mode:?}");
        if reason == Reason::Forbidden {
            assert!(
                failure
                    .hint
                    .unwrap()
                    .contains("roles/secretmanager.secretAccessor")
            );
        }
    }
}

#[test]
fn t12_a_secret_store_that_never_answers_ends_with_the_deadline() {
    let server = SecretManager::start();
    server.add("agnes-test", "fullchain", "value");
    let options = Options {
        timeout: Duration::from_secs(1),
        ..with_secrets(&server)
    };
    for mode in [Mode::Never, Mode::Slow(Duration::from_secs(60))] {
        server.set(mode);
        let started = Clock::now();
        failed(fetch(&options, "sm://fullchain"), Reason::Transient);
        assert!(started.elapsed() < Duration::from_secs(3));
    }
    server.set(Mode::Slow(Duration::from_millis(200)));
    assert_eq!(body(fetch(&options, "sm://fullchain")), b"value");
}

#[test]
fn without_google_credentials_a_fetch_is_refused_at_once() {
    for url in [
        "sm://agnes-test/fullchain",
        "sm://fullchain",
        "gs://bucket/chain.pem",
    ] {
        let started = Clock::now();
        let failure = failed(fetch(&options(), url), Reason::Forbidden);
        assert!(
            failure
                .hint
                .unwrap()
                .contains("GOOGLE_APPLICATION_CREDENTIALS")
        );
        assert!(started.elapsed() < Duration::from_millis(500));
    }
    let server = SecretManager::start();
    let nobody = Options {
        google_project: None,
        ..with_secrets(&server)
    };
    let failure = failed(fetch(&nobody, "sm://fullchain"), Reason::Malformed);
    assert!(failure.hint.unwrap().contains("GOOGLE_CLOUD_PROJECT"));
}

/// A metadata server with a project and a token.
fn metadata() -> HttpsSource {
    HttpsSource::start_plain(|request| {
        let json = |body: &str| Answer::Status {
            code: 200,
            headers: vec![
                ("Metadata-Flavor".into(), "Google".into()),
                ("Content-Type".into(), "application/json".into()),
            ],
            body: body.into(),
        };
        match request.target.split('?').next().unwrap() {
            _ if request.header("metadata-flavor") != Some("Google") => Answer::status(403),
            "/computeMetadata/v1/project/project-id" => json("agnes-test"),
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                json(r#"{"access_token":"hunter2-token","expires_in":3600,"token_type":"Bearer"}"#)
            }
            _ => Answer::status(404),
        }
    })
}

#[test]
fn on_a_google_machine_project_and_token_come_from_the_metadata_server() {
    let (metadata, server) = (metadata(), SecretManager::start());
    server.add("agnes-test", "fullchain", "chain");
    let mut options = Options {
        google_project: None,
        ..with_secrets(&server)
    };
    options.environment.gce_metadata_host = Some(metadata.address().to_string());
    assert_eq!(body(fetch(&options, "sm://fullchain")), b"chain");
    let request = server.requests().remove(0);
    assert_eq!(
        request.header("authorization"),
        Some("Bearer hunter2-token")
    );
}

#[test]
fn a_token_is_never_sent_over_plain_http_off_this_host() {
    let metadata = metadata();
    let mut options = options();
    options.environment.gce_metadata_host = Some(metadata.address().to_string());
    options.sm_endpoint = Some("http://secrets.example.com".into());
    options.gcs_endpoint = Some("http://192.0.2.1:80".into());
    for url in ["sm://agnes-test/fullchain", "gs://bucket/chain.pem"] {
        let failure = failed(fetch(&options, url), Reason::Forbidden);
        assert!(failure.message.contains("plain http"), "{failure}");
    }
    assert_eq!(metadata.requests().len(), 0);
}

#[test]
fn unusable_credentials_and_endpoints_are_named_without_their_content() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("key.json");
    let mut options = options();
    options.environment.google_application_credentials = Some(key.clone());
    let half = r#"{"type":"service_account","private_key":"hunter2"}"#;
    for content in [
        None,
        Some("hunter2"),
        Some("{}"),
        Some(r#"{"type":"hunter2"}"#),
        Some(half),
    ] {
        if let Some(content) = content {
            std::fs::write(&key, content).unwrap();
        }
        let failure = failed(
            fetch(&options, "sm://agnes-test/fullchain"),
            Reason::Forbidden,
        );
        assert!(failure.message.contains(key.to_str().unwrap()), "{failure}");
    }
    for endpoint in [
        "hunter2",
        "ftp://h",
        "https://u:hunter2@h",
        "https://h/?hunter2",
        "http://",
    ] {
        let options = Options {
            gcs_endpoint: Some(endpoint.into()),
            ..super::tests::options()
        };
        let failure = failed(fetch(&options, "gs://bucket/chain.pem"), Reason::Malformed);
        assert!(
            failure.message.starts_with("AGNES_GCS_ENDPOINT "),
            "{failure}"
        );
    }
}

#[test]
fn gs_brings_objects_and_generations_from_a_real_emulator() {
    let Some(server) = Gcs::start() else { return };
    server.bucket("agnes-bucket");
    let first = server.upload("agnes-bucket", "a%2Fchain%20%231.pem", b"one");
    let large = vec![b'x'; 300_000];
    server.upload("agnes-bucket", "large", &large);
    let options = Options {
        gcs_endpoint: Some(server.endpoint()),
        ..options()
    };
    let fetched =
        fetch(&options, "gs://agnes-bucket/a/chain%20%231.pem").map_err(|f| f.to_string());
    let Ok(Fetched::Body { bytes, etag }) = fetched else {
        panic!("{:?}", fetched.err())
    };
    assert_eq!(
        (bytes.as_slice(), etag),
        (&b"one"[..], Some(first.to_string()))
    );
    assert_eq!(
        body(fetch(
            &options,
            &format!("gs://agnes-bucket/a/chain%20%231.pem#{first}")
        )),
        b"one"
    );
    assert_eq!(body(fetch(&options, "gs://agnes-bucket/large")), large);
    failed(
        fetch(&options, "gs://agnes-bucket/absent"),
        Reason::NotPublished,
    );
    failed(
        fetch(&options, "gs://no-such-bucket/absent"),
        Reason::NotPublished,
    );
    failed(
        fetch(&options, "gs://agnes-bucket/large#1"),
        Reason::NotPublished,
    );
    let capped = Options {
        max_bytes: 299_999,
        ..options
    };
    failed(fetch(&capped, "gs://agnes-bucket/large"), Reason::TooLarge);
}

/// One object of Cloud Storage with these further headers.
fn object(code: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let common = [
        ("x-goog-generation", "7"),
        ("x-goog-stored-content-length", "5"),
    ];
    let headers = common
        .iter()
        .chain(headers)
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    Answer::Status {
        code,
        headers,
        body: body.to_vec(),
    }
}

#[test]
fn t13_every_answer_of_cloud_storage_has_its_reason() {
    let sum =
        openssl::base64::encode_block(&agnes_e2e::secret_manager::crc32c(b"chain").to_be_bytes());
    let sum = format!("crc32c={sum}");
    let cut = "HTTP/1.1 200 OK\r\nx-goog-generation: 7\r\nContent-Length: 10\r\n\r\nchain";
    let elsewhere = [("Location", "http://127.0.0.1:9/hunter2")];
    let table = [
        (object(200, &[("x-goog-hash", &sum)], b"chain"), None, 1),
        (
            object(200, &[("x-goog-hash", &sum)], b"chaim"),
            Some(Reason::Malformed),
            1,
        ),
        (
            object(200, &[("x-goog-stored-content-encoding", "gzip")], b"chain"),
            Some(Reason::Malformed),
            1,
        ),
        (object(403, &[], b"hunter2"), Some(Reason::Forbidden), 1),
        (object(401, &[], b"hunter2"), Some(Reason::Forbidden), 1),
        (object(404, &[], b"hunter2"), Some(Reason::NotPublished), 1),
        (object(307, &elsewhere, b""), Some(Reason::Redirect), 1),
        (object(503, &[], b"hunter2"), Some(Reason::Transient), 3),
        (Answer::Raw(cut.into()), Some(Reason::Transient), 3),
        (
            Answer::Raw(b"hunter2\r\n\r\n".to_vec()),
            Some(Reason::Malformed),
            1,
        ),
    ];
    for (answer, wanted, attempts) in table {
        let said = answer.clone();
        let server = HttpsSource::start_plain(move |_| said.clone());
        let options = Options {
            gcs_endpoint: Some(server.url("")),
            ..options()
        };
        let fetched = fetch(&options, "gs://bucket/chain.pem");
        if let Some(reason) = wanted {
            let failure = failed(fetched, reason);
            assert_eq!(
                failure.hint.is_some_and(|h| h.contains("roles/")),
                reason == Reason::Forbidden
            );
        } else {
            assert_eq!(body(fetched), b"chain");
        }
        assert_eq!(server.requests().len(), attempts, "{answer:?}");
    }
}

#[test]
fn t16_an_unchanged_object_is_not_read_again() {
    let server = HttpsSource::start_plain(|request| {
        if request.target.contains("ifGenerationNotMatch=7") {
            Answer::status(304)
        } else {
            object(200, &[], b"chain")
        }
    });
    let options = Options {
        gcs_endpoint: Some(server.url("")),
        ..options()
    };
    let url = "gs://bucket/chain.pem";
    assert!(matches!(
        fetch_if(&options, url, Some("7")),
        Ok(Fetched::NotModified)
    ));
    assert_eq!(body(fetch_if(&options, url, Some("6"))), b"chain");
    assert_eq!(
        body(fetch_if(&options, url, Some("\"an-https-etag\""))),
        b"chain"
    );
    failed(
        fetch(
            &Options {
                gcs_endpoint: Some("http://127.0.0.1:1".into()),
                ..options
            },
            url,
        ),
        Reason::Transient,
    );
}

fn file(path: &Path) -> Result<Fetched, Failure> {
    let options = Options {
        max_bytes: 1000,
        ..options()
    };
    fetch(&options, &format!("file://{}", path.display()))
}

#[test]
fn t13_every_kind_of_file_has_its_reason_and_a_fifo_never_blocks() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("chain"), b"chain").unwrap();
    std::fs::write(path("full"), vec![b'x'; 1000]).unwrap();
    std::fs::write(path("large"), vec![b'x'; 1001]).unwrap();
    std::os::unix::fs::symlink("chain", path("link")).unwrap();
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    assert_eq!(body(file(&path("chain"))), b"chain");
    assert_eq!(body(file(&path("link"))), b"chain");
    assert_eq!(body(file(&path("full"))).len(), 1000);
    failed(file(&path("large")), Reason::TooLarge);
    failed(file(Path::new("/dev/zero")), Reason::Malformed);
    failed(file(&path("absent")), Reason::NotPublished);
    failed(file(&path("chain/absent")), Reason::NotPublished);
    for (name, words) in [
        ("fifo", "a fifo"),
        ("socket", "a socket"),
        (".", "a directory"),
        ("loop", "symbolic"),
    ] {
        let failure = failed(file(&path(name)), Reason::Malformed);
        assert!(failure.message.contains(words), "{failure}");
    }
    // /proc files claim length 0 and have content all the same.
    failed(file(Path::new("/proc/self/smaps")), Reason::TooLarge);
    if !nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(path("chain"), std::fs::Permissions::from_mode(0o000)).unwrap();
        failed(file(&path("chain")), Reason::Forbidden);
    }
}

#[test]
fn a_location_that_does_not_parse_fails_like_one_that_cannot_be_fetched() {
    let failure = failed(
        fetch(&options(), "http://user:hunter2@h/x"),
        Reason::UnsupportedScheme,
    );
    assert_eq!(
        failure.to_string(),
        "fetch http://: is not fetched; use https://, sm://, gs:// or file://"
    );
    failed(fetch(&options(), "gs://bucket"), Reason::Malformed);
}

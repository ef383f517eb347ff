//! Secret Manager, and who one is there.

use super::*;

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

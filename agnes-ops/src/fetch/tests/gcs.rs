//! Cloud Storage.

use super::*;

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

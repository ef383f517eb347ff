//! What parses, what does not, and that nothing of it leaks.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<SourceUrl, SourceUrlError> {
    text.parse()
}

fn sm(project: Option<&str>, secret: &str, version: &str) -> SourceUrl {
    SourceUrl::SecretManager {
        project: project.map(str::to_owned),
        secret: secret.into(),
        version: version.into(),
    }
}

fn gcs(bucket: &str, object: &str, generation: Option<i64>) -> SourceUrl {
    SourceUrl::Gcs {
        bucket: bucket.into(),
        object: object.into(),
        generation,
    }
}

#[test]
fn every_documented_form_parses_to_what_it_names() {
    let numbered = "sm://projects/agnes-prod/secrets/fullchain/versions/7";
    let table = [
        (
            "sm://agnes-fullchain",
            sm(None, "agnes-fullchain", "latest"),
        ),
        (
            "sm://agnes-prod/fullchain",
            sm(Some("agnes-prod"), "fullchain", "latest"),
        ),
        (
            "sm://123456789012/fullchain",
            sm(Some("123456789012"), "fullchain", "latest"),
        ),
        (
            "sm://projects/agnes-prod/secrets/fullchain",
            sm(Some("agnes-prod"), "fullchain", "latest"),
        ),
        (numbered, sm(Some("agnes-prod"), "fullchain", "7")),
        (
            "sm://projects/example.com:agnes-prod/secrets/a_b/versions/blue",
            sm(Some("example.com:agnes-prod"), "a_b", "blue"),
        ),
        ("gs://bucket/chain.pem", gcs("bucket", "chain.pem", None)),
        ("gs://bucket/a/b#123", gcs("bucket", "a/b", Some(123))),
        ("gs://bucket/a%20b%23c%3f", gcs("bucket", "a b#c?", None)),
        (
            "GS://my.bucket.example.com/%C3%BC",
            gcs("my.bucket.example.com", "ü", None),
        ),
        (
            "file:///etc/agnes/full%20chain.pem",
            SourceUrl::File("/etc/agnes/full chain.pem".into()),
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(parse(text), Ok(wanted), "{text}");
    }
    assert_eq!(numbered.parse::<SourceUrl>().unwrap().to_string(), numbered);
    let https = parse("HTTPS://pki.example.com:8443/chain.pem?x=1#frag").unwrap();
    let SourceUrl::Https(url) = &https else {
        panic!("{https}")
    };
    assert_eq!(url.as_str(), "https://pki.example.com:8443/chain.pem?x=1");
}

#[test]
fn other_schemes_are_unsupported_and_say_which_are() {
    for text in [
        "http://pki.example.com/x",
        "ftp://h/x",
        "s3://b/o",
        "/etc/chain.pem",
        "",
        "https:/h/x",
        "!://x",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code(), "unsupported-scheme", "{text}");
        assert!(
            error
                .to_string()
                .ends_with("use https://, sm://, gs:// or file://"),
            "{error}"
        );
    }
    assert!(
        parse("http://u:hunter2@h/x?token=hunter2")
            .unwrap_err()
            .to_string()
            .starts_with("http:// ")
    );
}

#[test]
fn a_part_that_is_empty_or_breaks_its_owners_rules_is_malformed() {
    let long_secret = format!("sm://{}", "s".repeat(256));
    let long_bucket = format!("gs://{}/o", "b".repeat(64));
    let long_object = format!("gs://bucket/{}", "o".repeat(1025));
    let table = [
        "https://",
        "https:///path",
        "https://?q",
        "https://h:99999/",
        "https://h/a b",
        "https://h/a\nb",
        "https://[::1/",
        "sm://",
        "sm:///",
        "sm:///secret",
        "sm://agnes-prod/",
        "sm://projects/agnes-prod",
        "sm://projects//secrets/s",
        "sm://projects/agnes-prod/secrets/",
        "sm://projects/agnes-prod/secrets/s/versions/",
        "sm://projects/agnes-prod/secrets/s/versions/0",
        "sm://projects/agnes-prod/secrets/s/versions/1/x",
        "sm://projects/agnes-prod/secrets/s/versions/-1",
        "sm://Agnes/s",
        "sm://short/s",
        "sm://a.b",
        "sm://a%2Fb",
        "sm://s?version=2",
        "sm://s#2",
        "sm://u@s",
        &long_secret,
        "gs://",
        "gs://bucket",
        "gs://bucket/",
        "gs:///object",
        "gs://Bucket/o",
        "gs://bu/o",
        "gs://-bucket/o",
        "gs://a..b/o",
        "gs://192.168.0.1/o",
        "gs://bucket/o#",
        "gs://bucket/o#0",
        "gs://bucket/o#+1",
        "gs://bucket/o#x",
        "gs://bucket/o#99999999999999999999",
        "gs://bucket/o?generation=1",
        "gs://bucket/%zz",
        "gs://bucket/%4",
        "gs://bucket/%ff",
        "gs://bucket/%0a",
        "gs://bucket/..",
        &long_bucket,
        &long_object,
        "file://",
        "file:///",
        "file://host/path",
        "file://localhost/path",
        "file://./path",
        "file:///a%00b",
        "file:///a?b",
        "file:///a#b",
    ];
    for text in table {
        let error = parse(text).expect_err(text);
        assert_eq!(error.code(), "malformed", "{text}");
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 400, "{line}");
    }
}

#[test]
fn t13_neither_a_location_nor_its_error_shows_userinfo_or_query() {
    let texts = [
        "https://user:hunter2@pki.example.com/chain.pem?token=hunter2",
        "https://hunter2@pki.example.com:99999/chain.pem?token=hunter2",
        "https://user:hunter2/x@pki.example.com/chain.pem",
        "https://user:p?hunter2@pki.example.com/chain.pem",
        "https://h st/x?t=a@hunter2",
        "https://pki.example.com/chain.pem#hunter2",
        "sm://user:hunter2@secret?hunter2",
        "gs://user:hunter2@bucket/o?hunter2=1",
        "gs://bucket/o#hunter2",
        "file://user:hunter2@host/x?hunter2",
        "hunter2",
        "-----BEGIN hunter2-----",
    ];
    for text in texts {
        let shown = match parse(text) {
            Ok(url) => format!("{url} {url:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("hunter2"), "{text} was shown as {shown}");
    }
    let url = parse("https://user:hunter2@pki.example.com:8443/chain.pem?token=hunter2").unwrap();
    assert_eq!(url.to_string(), "https://pki.example.com:8443/chain.pem");
    assert_eq!(
        format!("{url:?}"),
        "SourceUrl(https://pki.example.com:8443/chain.pem)"
    );
}

proptest! {
    #[test]
    fn what_is_shown_of_a_bucket_or_file_parses_back(object in "[^\r\n\0]{1,40}", path in "[^\0]{0,40}") {
        prop_assume!(object != "." && object != "..");
        for url in [gcs("bucket", &object, Some(5)), SourceUrl::File(format!("/x{path}").into())] {
            let shown = url.to_string();
            prop_assert!(!shown.contains(char::is_control));
            prop_assert_eq!(parse(&shown), Ok(url));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic_or_its_error_span_lines(text in "(https|sm|gs|file|http)?(://)?\\PC{0,60}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}

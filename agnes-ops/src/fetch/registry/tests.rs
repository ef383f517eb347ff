//! What a registry answers, and what is shown to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use super::super::{Failure, Fetcher};
use super::*;

#[test]
fn a_challenge_is_read_whatever_stands_in_its_quotes() {
    let mut headers = HeaderMap::new();
    let text = "Bearer realm=\"https://auth.example.com/token\",service=\"registry.example.com\",scope=\"repository:a/b:pull,push\"";
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
    let read = challenge(&headers);
    assert_eq!(
        read.realm.as_deref(),
        Some("https://auth.example.com/token")
    );
    assert_eq!(read.service.as_deref(), Some("registry.example.com"));
    assert_eq!(read.scope.as_deref(), Some("repository:a/b:pull,push"));
    assert!(!read.basic);
    let mut headers = HeaderMap::new();
    headers.append(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"x\""),
    );
    let basic = Challenge {
        basic: true,
        ..Challenge::default()
    };
    assert_eq!(challenge(&headers), basic);
}

#[test]
fn only_a_registry_of_this_host_is_asked_without_tls() {
    for here in [
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000",
        "127.1.2.3",
        "[::1]:5000",
    ] {
        assert!(is_here(here), "{here}");
    }
    for there in [
        "registry.example.com",
        "localhost.example.com:80",
        "10.0.0.1:5000",
        "127.0.0.1.example.com",
    ] {
        assert!(!is_here(there), "{there}");
    }
}

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A server of these answers, one for each connection; what it was asked comes back when it has given them all.
fn scripted(
    answers: impl FnOnce(SocketAddr) -> Vec<String> + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let serve = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 4096];
            while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                asked.extend_from_slice(&piece[..read]);
            }
            let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        };
        answers(address).into_iter().map(serve).collect()
    });
    (address, served)
}

fn asked(address: SocketAddr, login: Option<&Login>) -> Result<Digest, Failure> {
    let options = Options {
        connect_timeout: std::time::Duration::from_secs(5),
        timeout: std::time::Duration::from_secs(10),
        max_bytes: 1 << 20,
        ca_bundle: None,
        sm_endpoint: None,
        gcs_endpoint: None,
        google_project: None,
        environment: Default::default(),
    };
    let reference: Reference = format!("{address}/team/agnes:stable").parse().unwrap();
    Fetcher::new(options).digest(&reference, login)
}

fn login() -> Login {
    Login {
        user: "example".to_owned(),
        password: Secret::new("pass:word"),
    }
}

fn found() -> String {
    format!("HTTP/1.1 200 OK\r\nDocker-Content-Digest: {DIGEST}\r\nContent-Length: 99\r\n\r\n")
}

fn wants_a_token(realm: &str) -> String {
    format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:team/agnes:pull\"\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_token_is_got_where_the_registry_says_and_shown_to_it() {
    let (address, served) = scripted(|address| {
        let token = "{\"token\":\"t0ken\"}";
        vec![
            wants_a_token(&format!("http://{address}/token")),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{token}",
                token.len()
            ),
            found(),
        ]
    });
    assert_eq!(asked(address, Some(&login())).unwrap().as_str(), DIGEST);
    let asked = served.join().unwrap();
    assert!(
        asked[0].starts_with("HEAD /v2/team/agnes/manifests/stable "),
        "{asked:?}"
    );
    assert!(
        !asked[0].to_lowercase().contains("authorization"),
        "{asked:?}"
    );
    let query = "GET /token?service=s&scope=repository%3Ateam%2Fagnes%3Apull ";
    assert!(asked[1].starts_with(query), "{asked:?}");
    // example:pass:word
    assert!(
        asked[1].contains("Basic ZXhhbXBsZTpwYXNzOndvcmQ="),
        "{asked:?}"
    );
    assert!(asked[2].contains("Bearer t0ken"), "{asked:?}");
}

#[test]
fn no_credential_goes_over_plain_http_off_this_host() {
    let (address, served) = scripted(|_| vec![wants_a_token("http://auth.example.com/token")]);
    let failure = asked(address, Some(&login())).unwrap_err();
    assert_eq!(failure.reason, Reason::Forbidden);
    assert!(failure.message.contains("plain http"), "{failure}");
    served.join().unwrap();
}

#[test]
fn every_answer_of_a_registry_has_its_reason_and_none_is_unchanged() {
    for (answer, reason) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            Reason::Forbidden,
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            Reason::Forbidden,
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            Reason::NotPublished,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
            Reason::Redirect,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Reason::Malformed,
        ),
        (
            "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:12\r\nContent-Length: 0\r\n\r\n",
            Reason::Malformed,
        ),
        ("SSH-2.0-x\r\n", Reason::Malformed),
    ] {
        let (address, served) = scripted(move |_| vec![answer.to_owned()]);
        let failure = asked(address, None).unwrap_err();
        assert_eq!(failure.reason, reason, "{answer:?}: {failure}");
        served.join().unwrap();
    }
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(asked(nobody, None).unwrap_err().reason, Reason::Transient);
}

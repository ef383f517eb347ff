//! Every rule of the edge through a small router: the same layer, the same order, no network.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{self, HeaderValue};
use axum::http::{Request as HttpRequest, StatusCode};
use axum::routing::{get, post};
use tower::ServiceExt;

use super::*;
use crate::client_address::ClientAddress;

const PROXY: &str = "10.0.0.1:4711";
const STRANGER: &str = "203.0.113.5:4711";

fn edge() -> Edge {
    Edge {
        proxies: TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]),
        origins: Origins::new(["https://app.example.com", "*", "null"]),
        max_body_bytes: 100,
        body_deadline: Duration::from_secs(30),
        max_upload_bytes: 3000,
        metrics: Arc::new(Metrics::new("1", "").unwrap()),
    }
}

/// Answers what it knows of the request.
async fn mirror(request: Request) -> String {
    let id = request.extensions().get::<RequestId>().unwrap().as_str();
    let client = request.extensions().get::<ClientAddress>();
    format!(
        "{id} {}",
        client.map_or_else(String::new, |c| c.0.to_string())
    )
}

fn app(edge: Edge) -> Router {
    let router = Router::new()
        .route("/ok/{id}", get(mirror))
        .route(
            "/body",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/json", post(|_: axum::Json<u32>| async { "" }))
        .route("/unread", post(|| async { StatusCode::CREATED }))
        .route(
            "/page",
            get(|| async { (StatusCode::FORBIDDEN, axum::response::Html("<p>no")) }),
        )
        .route(
            "/weak",
            get(|| async {
                let weak = [
                    ("content-security-policy", "default-src *"),
                    ("strict-transport-security", "max-age=1"),
                    ("access-control-allow-origin", "*"),
                    ("x-request-id", "mine"),
                ];
                (weak, "")
            }),
        )
        .route(
            "/bare",
            get(|| async {
                (
                    StatusCode::CONFLICT,
                    [("retry-after", "7"), ("content-length", "0")],
                )
            }),
        );
    async fn alone(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
        pass(&edge, request, |request| next.run(request)).await
    }
    let edge = from_fn_with_state(Arc::new(edge), alone);
    router
        .fallback(async || Problem::no_such_route())
        .layer((DefaultBodyLimit::disable(), edge))
}

fn request(method: &str, path: &str, peer: &str, headers: &[(&str, &[u8])]) -> HttpRequest<Body> {
    let mut request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .extension(Connection {
            peer: peer.parse().unwrap(),
            tls: false,
            ca_leaf: false,
        })
        .body(Body::empty())
        .unwrap();
    for (name, value) in headers {
        let name: header::HeaderName = name.parse().unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

async fn send(request: HttpRequest<Body>) -> Response {
    app(edge()).oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn word<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// The status, after a look at the document.
async fn problem(response: Response) -> u16 {
    let (status, id) = (
        response.status().as_u16(),
        word(&response, "x-request-id").to_owned(),
    );
    assert_eq!(word(&response, "content-type"), "application/problem+json");
    let length: usize = word(&response, "content-length").parse().unwrap();
    let body = text(response).await;
    assert_eq!(body.len(), length, "{body}");
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["status"], status, "{body}");
    assert_eq!(document["request_id"], *id, "{body}");
    status
}

#[tokio::test]
async fn every_answer_has_an_id_of_ours_that_the_route_saw_too() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let response = send(request("GET", "/ok/1", STRANGER, &[])).await;
        let id = word(&response, "x-request-id").to_owned();
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        assert_eq!(text(response).await, format!("{id} 203.0.113.5"));
        assert!(seen.insert(id), "twice the same id");
    }
}

#[tokio::test]
async fn a_sent_id_is_taken_from_a_trusted_proxy_alone_and_only_if_it_is_plain() {
    let long = [b'a'; 65];
    for (peer, sent, taken) in [
        (PROXY, &b"Trace_1.a-b"[..], true),
        (PROXY, &long[..64], true),
        (STRANGER, b"Trace_1.a-b", false),
        (PROXY, &long, false),
        (PROXY, b"", false),
        (PROXY, b"a b", false),
        (PROXY, b"a\"b", false),
        (PROXY, b"\xff\xfe", false),
    ] {
        let response = send(request("GET", "/ok/1", peer, &[("x-request-id", sent)])).await;
        let same = response.headers()["x-request-id"].as_bytes() == sent;
        assert_eq!(same, taken, "{peer} {sent:?}");
    }
    let two: &[(&str, &[u8])] = &[("x-request-id", b"one"), ("x-request-id", b"two")];
    let response = send(request("GET", "/ok/1", PROXY, two)).await;
    assert_eq!(word(&response, "x-request-id").len(), 36);
}

#[tokio::test]
async fn a06_the_route_sees_the_client_behind_a_trusted_proxy_and_no_other() {
    let forwarded: &[(&str, &[u8])] = &[("x-forwarded-for", b"198.51.100.9")];
    for (peer, want) in [(PROXY, "198.51.100.9"), (STRANGER, "203.0.113.5")] {
        let seen = text(send(request("GET", "/ok/1", peer, forwarded)).await).await;
        assert_eq!(seen.split_once(' ').unwrap().1, want);
    }
}

#[tokio::test]
async fn security_headers_are_on_every_answer_and_no_route_weakens_them() {
    for path in ["/ok/1", "/absent", "/weak", "/page"] {
        let response = send(request("GET", path, STRANGER, &[])).await;
        // a page's own forms have to say where they are from
        let policies = ["no-referrer", "same-origin"];
        let referrer = policies[usize::from(path == "/page")];
        for (name, want) in [
            ("content-security-policy", "default-src 'self'"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", referrer),
            ("strict-transport-security", ""),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(word(&response, name), want, "{path} {name}");
        }
        assert_eq!(word(&response, "x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn hsts_needs_tls_and_a_leaf_that_a_ca_issued() {
    for (tls, ca_leaf, want) in [
        (false, false, ""),
        (true, false, ""),
        (true, true, "max-age=31536000"),
    ] {
        let mut request = request("GET", "/weak", STRANGER, &[]);
        let peer = STRANGER.parse().unwrap();
        request
            .extensions_mut()
            .insert(Connection { peer, tls, ca_leaf });
        let response = send(request).await;
        assert_eq!(
            word(&response, "strict-transport-security"),
            want,
            "{tls} {ca_leaf}"
        );
    }
}

#[tokio::test]
async fn cors_answers_listed_origins_and_nobody_else() {
    for (origin, want) in [
        (&b"https://app.example.com"[..], true),
        (b"https://app.example.com.evil.example", false),
        (b"https://app.example.com:443", false),
        (b"https://APP.example.com", false),
        (b"http://app.example.com", false),
        (b"*", false),
        (b"null", false),
        (b"\xff", false),
        (b"", false),
    ] {
        let response = send(request("GET", "/ok/1", STRANGER, &[("origin", origin)])).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(word(&response, "vary"), "Origin");
        let got = response.headers().get("access-control-allow-origin");
        assert_eq!(
            got.map(HeaderValue::as_bytes),
            want.then_some(origin),
            "{origin:?}"
        );
        let credentials = response
            .headers()
            .contains_key("access-control-allow-credentials");
        assert!(!credentials);
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", &b"PUT"[..]),
        ];
        let response = send(request("OPTIONS", "/ok/1", STRANGER, &preflight)).await;
        let methods = word(&response, "access-control-allow-methods");
        let headers = word(&response, "access-control-allow-headers");
        if want {
            assert_eq!(response.status(), StatusCode::NO_CONTENT);
            assert!(
                methods.contains("PUT") && !methods.contains('*'),
                "{methods}"
            );
            assert!(headers.contains("authorization") && headers.contains("content-type"));
            assert_eq!(
                word(&response, "access-control-allow-origin").as_bytes(),
                origin
            );
            assert!(
                response
                    .headers()
                    .get_all("vary")
                    .iter()
                    .any(|v| v == "Origin")
            );
        } else {
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!((methods, headers), ("", ""));
        }
    }
}

#[tokio::test]
async fn errors_are_problem_documents_that_name_the_request() {
    let mut json = request(
        "POST",
        "/json",
        STRANGER,
        &[("content-type", b"application/json")],
    );
    *json.body_mut() = Body::from("\"");
    for (request, want) in [
        (request("GET", "/absent", STRANGER, &[]), 404),
        (request("DELETE", "/ok/1", STRANGER, &[]), 405),
        (json, 400),
        (request("POST", "/json", STRANGER, &[]), 415),
        (request("GET", "/bare", STRANGER, &[]), 409),
    ] {
        assert_eq!(problem(send(request).await).await, want);
    }
    let bare = send(request("GET", "/bare", STRANGER, &[])).await;
    assert_eq!(word(&bare, "retry-after"), "7");
    let method = send(request("DELETE", "/ok/1", STRANGER, &[])).await;
    assert_eq!(word(&method, "allow"), "GET,HEAD");
    let page = send(request("GET", "/page", STRANGER, &[])).await;
    assert_eq!(text(page).await, "<p>no");
}

#[tokio::test]
async fn long_addresses_and_large_heads_are_refused() {
    let path = |bytes: usize| format!("/ok/{}", "a".repeat(bytes - 4));
    assert_eq!(
        send(request("GET", &path(MAX_URL), STRANGER, &[]))
            .await
            .status(),
        200
    );
    assert_eq!(
        problem(send(request("GET", &path(MAX_URL + 1), STRANGER, &[])).await).await,
        414
    );
    let query = format!("/ok/1?{}", "a".repeat(MAX_URL));
    assert_eq!(
        problem(send(request("GET", &query, STRANGER, &[])).await).await,
        414
    );
    let host = format!("http://{}/ok/1", "a".repeat(MAX_URL));
    assert_eq!(
        problem(send(request("GET", &host, STRANGER, &[])).await).await,
        414
    );
    let value = vec![b'a'; MAX_HEADERS - 1];
    assert_eq!(
        send(request("GET", "/ok/1", STRANGER, &[("x", &value)]))
            .await
            .status(),
        200
    );
    assert_eq!(
        problem(send(request("GET", "/ok/1", STRANGER, &[("xx", &value)])).await).await,
        431
    );
}

#[tokio::test]
async fn no_byte_of_a_header_is_a_server_error() {
    for name in [
        "authorization",
        "origin",
        "x-forwarded-for",
        "x-request-id",
        "content-type",
        "content-length",
        "access-control-request-method",
        "cookie",
        "accept",
    ] {
        for value in [
            &b"\xff\xfe\x80"[..],
            b"Bearer \xc3\xa9",
            b"\t",
            b"",
            &[b','; 9000],
        ] {
            for method in ["GET", "POST", "OPTIONS"] {
                for path in ["/ok/1", "/body", "/json", "/absent"] {
                    let response = send(request(method, path, PROXY, &[(name, value)])).await;
                    assert!(
                        response.status().as_u16() < 500,
                        "{method} {path} {name} {value:?}"
                    );
                }
            }
        }
    }
}

fn upload(path: &str, body: Body) -> HttpRequest<Body> {
    request("POST", path, STRANGER, &[]).map(|_| body)
}

/// A body of unknown length.
fn streamed(chunks: usize) -> Body {
    let (mut feed, body) = pipe();
    tokio::spawn(async move {
        for _ in 0..chunks {
            if !feed.send(&[b'a'; 10]).await {
                return;
            }
        }
    });
    body
}

/// A body that the test feeds.
fn pipe() -> (Feed, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (Feed(sender), Body::new(Channel(receiver)))
}

struct Feed(tokio::sync::mpsc::Sender<Bytes>);

impl Feed {
    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.send(Bytes::copy_from_slice(bytes)).await.is_ok()
    }
}

struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Channel {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|one| one.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_413() {
    assert_eq!(
        text(send(upload("/body", Body::from(vec![0; 100]))).await).await,
        "100"
    );
    assert_eq!(text(send(upload("/body", streamed(10))).await).await, "100");
    assert_eq!(
        problem(send(upload("/body", Body::from(vec![0; 101]))).await).await,
        413
    );
    assert_eq!(
        problem(send(upload("/body", streamed(11))).await).await,
        413
    );
    // declared: refused before the route sees it, also by a route that would not have read it
    assert_eq!(
        problem(send(upload("/unread", Body::from(vec![0; 101]))).await).await,
        413
    );
    assert_eq!(
        send(upload("/unread", streamed(11))).await.status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_limit_above_two_megabytes_is_the_limit() {
    let wide = Edge {
        max_body_bytes: 8 << 20,
        ..edge()
    };
    let request = upload("/body", Body::from(vec![0; 5 << 20]));
    assert_eq!(app(wide).oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_dawdles_is_408_at_its_deadline() {
    let deadline = Duration::from_millis(300);
    let began = Instant::now();
    let (mut feed, body) = pipe();
    tokio::spawn(async move {
        // a byte now and then would keep any deadline between two bytes happy
        while feed.send(b"a").await {
            tokio::time::sleep(deadline / 6).await;
        }
    });
    let edge = Edge {
        body_deadline: deadline,
        ..edge()
    };
    let answer = app(edge).oneshot(upload("/body", body)).await.unwrap();
    assert_eq!(problem(answer).await, 408);
    assert!(began.elapsed() >= deadline);
}

#[tokio::test]
async fn answers_are_counted_by_template_method_and_status() {
    let edge = edge();
    let metrics = Arc::clone(&edge.metrics);
    let app = app(edge);
    for (method, path) in [
        ("GET", "/ok/1"),
        ("GET", "/ok/2"),
        ("GET", "/absent/1"),
        ("BREW", "/absent/2"),
        ("PATCH", "/ok/1"),
    ] {
        app.clone()
            .oneshot(request(method, path, STRANGER, &[]))
            .await
            .unwrap();
    }
    let text = metrics.render();
    for line in [
        r#"agnes_http_requests_total{method="GET",route="/ok/{id}",status="200"} 2"#,
        r#"agnes_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"agnes_http_requests_total{method="OTHER",route="unmatched",status="404"} 1"#,
        r#"agnes_http_requests_total{method="PATCH",route="/ok/{id}",status="405"} 1"#,
        r#"agnes_http_request_duration_seconds_count{method="GET",route="/ok/{id}"} 2"#,
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(!text.contains("BREW") && !text.contains("absent"), "{text}");
}

//! What the scraper's address answers, and what happens when another program has it.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use super::*;

#[tokio::test]
async fn get_metrics_is_answered_and_nothing_else() {
    let metrics = Arc::new(Metrics::new("1.2.3", "").unwrap());
    metrics.rate_limited("address");
    let router = router(metrics);
    for (method, path, want) in [
        ("GET", "/metrics", StatusCode::OK),
        ("GET", "/", StatusCode::NOT_FOUND),
        ("GET", "/api/health", StatusCode::NOT_FOUND),
        ("POST", "/metrics", StatusCode::NOT_FOUND),
        ("GET", "/metrics/", StatusCode::NOT_FOUND),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), want, "{method} {path}");
        if want == StatusCode::OK {
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4");
            let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(
                text.contains("agnes_rate_limited_total{kind=\"address\"} 1\n"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_taken_address_is_fatal_only_if_somebody_set_it() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    assert!(listen(address, Chosen::ByDefault).await.unwrap().is_none());
    let failed = listen(address, Chosen::BySetting).await.unwrap_err();
    assert!(
        failed.what.starts_with("METRICS_ADDR: listen on "),
        "{}",
        failed.what
    );
    drop(other);
    let listener = listen(address, Chosen::BySetting).await.unwrap().unwrap();
    assert_eq!(
        (listener.address, listener.limits.connections),
        (address, 16)
    );
}

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
    assert!(
        listen(MetricsListen::Default(address))
            .await
            .unwrap()
            .is_none()
    );
    let failed = listen(MetricsListen::At(address)).await.unwrap_err();
    assert!(
        failed.what.starts_with("METRICS_ADDR: listen on "),
        "{}",
        failed.what
    );
    drop(other);
    let listener = listen(MetricsListen::At(address)).await.unwrap().unwrap();
    assert_eq!(
        (listener.address, listener.limits.connections),
        (address, 16)
    );
}

#[tokio::test]
async fn a_scrape_over_the_wire_is_one_answer_and_a_stop_ends_it() {
    let metrics = Arc::new(Metrics::new("1.2.3", "").unwrap());
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = listen(MetricsListen::At(any)).await.unwrap().unwrap();
    let address = listener.address;
    let (stop, stopping) = tokio::sync::watch::channel(());
    let accepting = tokio::spawn(listener.accept(router(metrics), stopping));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/metrics");
    let text = client.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("agnes_build_info{commit=\"\",version=\"1.2.3\"} 1\n"),
        "{text}"
    );
    stop.send(()).unwrap();
    accepting.await.unwrap();
    assert!(client.get(&url).send().await.is_err());
}

//! What the server says about itself: health in detail, its API, its figures.

use std::net::TcpListener;

use serde_json::json;

use super::client::{Caller, SCHEDULER, started, started_with};
use crate::pki::Pki;
use crate::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn health_in_detail_is_for_whoever_is_signed_in_and_has_every_part() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    assert_eq!(
        anyone.get("/api/health").await.body,
        json!({"status": "ok"})
    );
    assert_eq!(anyone.get("/api/health/detailed").await.status, 401);
    for caller in [admin, anyone.bearing(SCHEDULER)] {
        let reply = caller.get("/api/health/detailed").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.body["schema"], 4);
        assert_eq!(reply.body["version"], env!("CARGO_PKG_VERSION"));
        assert!(reply.body["uptime_secs"].is_u64() && reply.body["release"].is_object());
        for part in ["store", "scheduler", "disk", "tls"] {
            assert!(reply.body["services"][part]["status"].is_string(), "{part}");
        }
        assert_eq!(reply.body["services"]["tls"]["status"], "off");
        assert_eq!(reply.body["services"]["store"]["writes"], "open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_in_detail_names_the_leaf_that_is_served_and_how_long_it_lasts() {
    let (place, pki) = (Place::new(), Pki::new());
    let pair = pki.pair_with(|params| {
        // whole seconds, as certificates have them
        params.not_after = (agnes_store::clock::now() + time::Duration::days(60))
            .replace_nanosecond(0)
            .unwrap();
    });
    place.install(1, &pair);
    let (mut server, _, admin) = started_with(&place, |command| {
        command.env("AGNES_TLS_LISTEN", "127.0.0.1:0");
    })
    .await;
    let reply = admin.get("/api/health/detailed").await;
    let tls = &reply.body["services"]["tls"];
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(tls["status"], "ok", "{reply:?}");
    assert_eq!(tls["sha256"], pair.sha256.as_str());
    assert!(
        (58..=60).contains(&tls["days_left"].as_i64().unwrap()),
        "{tls}"
    );
    assert!(tls["not_after"].is_string(), "{tls}");

    // one that ends soon still serves, and wants a look
    let soon = pki.pair_with(|params| {
        params.not_after = agnes_store::clock::now() + time::Duration::days(3);
    });
    place.install(2, &soon);
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.until_logged("SIGUSR1: certificate");
    let reply = admin.get("/api/health/detailed").await;
    let tls = &reply.body["services"]["tls"];
    assert_eq!(
        (reply.status, &reply.body["status"], &tls["status"]),
        (200, &json!("degraded"), &json!("degraded")),
        "{reply:?}"
    );
    assert_eq!(tls["sha256"], soon.sha256.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_to_anybody_and_without_a_script() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let name = "<script>alert(1)</script>";
    assert_eq!(
        admin
            .post("/api/groups", json!({"name": name}))
            .await
            .status,
        201
    );
    let document = anyone.get("/api/openapi.json").await;
    assert_eq!(document.body["openapi"], "3.1.0");
    let page = anyone.get("/api/docs").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        page.header("content-security-policy"),
        Some("default-src 'self'")
    );
    assert!(!page.body.as_str().unwrap().contains("<script"));
    assert_eq!(anyone.get("/api/docs/style.css").await.status, 200);
    let groups = admin.get("/api/groups").await;
    assert_eq!(groups.header("content-type"), Some("application/json"));
    assert_eq!(groups.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_count_what_was_done() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (server, _, admin) = started_with(&place, |command| {
        command.env("METRICS_ADDR", format!("127.0.0.1:{port}"));
    })
    .await;
    admin.post("/api/groups", json!({"name": "g"})).await;
    assert_eq!(
        admin.get("/metrics").await.status,
        404,
        "not where callers are"
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    for line in [
        "agnes_http_requests_total{method=\"POST\",route=\"/api/groups\",status=\"201\"} 1",
        "agnes_audit_events_total{action=\"group.created\",outcome=\"success\"} 1",
        "agnes_tokens_issued_total{kind=\"session\"} 1",
        "agnes_db_query_duration_seconds_count{kind=\"commit\"}",
        "agnes_store_writes_held 0",
        "process_resident_memory_bytes",
        "agnes_build_info{",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    drop(Caller::of(&server));
}

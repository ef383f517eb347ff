//! How often one caller may call (A06).

use serde_json::json;

use super::client::{ADMIN, Caller, PASSWORD, started_with};
use crate::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a06_a_client_cannot_choose_the_address_that_it_is_counted_under() {
    let place = Place::new();
    let server = place.start();
    let anyone = Caller::of(&server);
    let mut statuses = Vec::new();
    for n in 0..101 {
        let forged = anyone.with_header("x-forwarded-for", &format!("198.51.100.{n}"));
        statuses.push(forged.get("/api/version").await.status);
    }
    assert!(
        statuses[..100].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert_eq!(statuses[100], 429);
    let reply = anyone.get("/api/me").await;
    assert_eq!(reply.status, 429);
    assert!((1..=60).contains(&reply.header("retry-after").unwrap().parse::<u64>().unwrap()));
    for probe in ["/api/health", "/healthz", "/readyz"] {
        assert_eq!(anyone.get(probe).await.status, 200, "{probe}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_behind_a_trusted_proxy_each_client_has_its_own_count() {
    let place = Place::new();
    let server = place.start_with(|command| {
        command.env("TRUSTED_PROXIES", "127.0.0.0/8");
    });
    let anyone = Caller::of(&server);
    for n in 0..150 {
        let client = anyone.with_header("x-forwarded-for", &format!("203.0.113.7, 198.51.100.{n}"));
        assert_eq!(client.get("/api/version").await.status, 200, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_has_a_larger_count_of_its_own() {
    let place = Place::new();
    let (_server, anyone, admin) = started_with(&place, |command| {
        command
            .env("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "5")
            .env("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "20");
    })
    .await;
    // bootstrap and sign-in were two of five
    for _ in 0..3 {
        assert_eq!(anyone.get("/api/version").await.status, 200);
    }
    assert_eq!(anyone.get("/api/version").await.status, 429);
    for n in 0..20 {
        assert_eq!(admin.get("/api/me").await.status, 200, "{n}");
    }
    assert_eq!(admin.get("/api/me").await.status, 429);
    let reply = anyone
        .post("/auth/token", json!({"email": ADMIN, "password": PASSWORD}))
        .await;
    assert_eq!(reply.status, 429);
}

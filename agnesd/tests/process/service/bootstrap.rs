//! The first administrator (A04).

use serde_json::json;

use super::client::{ADMIN, Caller, PASSWORD, started, usual};
use crate::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a04_of_a_hundred_at_once_exactly_one_becomes_administrator() {
    let place = Place::new();
    let mut server = place.start_with(usual);
    let anyone = Caller::of(&server);
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..100 {
        let anyone = anyone.clone();
        tries.spawn(async move {
            let form = json!({"email": format!("a{n}@example.com"), "password": PASSWORD});
            (n, anyone.post("/auth/bootstrap", form).await.status)
        });
    }
    let results = tries.join_all().await;
    let winners: Vec<_> = results
        .iter()
        .filter(|(_, status)| *status == 201)
        .collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    // hashing is two at a time: who waits too long is told to come again
    assert!(
        results
            .iter()
            .all(|(_, status)| [201, 409, 503].contains(status)),
        "{results:?}"
    );

    let email = format!("a{}@example.com", winners[0].0);
    let admin = anyone.signed_in(&email, PASSWORD).await;
    let users = admin.get("/api/users").await;
    assert_eq!(users.items().len(), 2, "the winner and the scheduler");
    assert_eq!(admin.audit("auth.bootstrapped").await.len(), 1);
    assert_eq!(server.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_it_stays_closed_after_a_restart_and_the_warning_is_gone() {
    let place = Place::new();
    let (mut server, _, _) = started(&place).await;
    assert!(server.log().contains("/auth/bootstrap is open"));
    assert_eq!(server.stop(), 0);
    let server = place.start_with(usual);
    assert!(
        !server.log().contains("/auth/bootstrap is open"),
        "{}",
        server.log()
    );
    let form = json!({"email": "other@example.com", "password": PASSWORD});
    let reply = Caller::of(&server).post("/auth/bootstrap", form).await;
    assert_eq!(reply.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_seeded_address_may_bootstrap_and_it_sets_its_own_password() {
    let place = Place::new();
    let server = place.start_with(|command| {
        usual(command);
        command.env("SEED_ADMIN_EMAIL", "Seed@Example.com");
    });
    let anyone = Caller::of(&server);
    let form = |email: &str| json!({"email": email, "password": PASSWORD});
    assert_eq!(
        anyone.post("/auth/bootstrap", form(ADMIN)).await.status,
        403
    );
    let reply = anyone
        .post("/auth/bootstrap", form("seed@example.com"))
        .await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(
        anyone
            .post("/auth/bootstrap", form("seed@example.com"))
            .await
            .status,
        409
    );
    let admin = anyone.signed_in("SEED@example.com", PASSWORD).await;
    assert_eq!(admin.get("/api/users").await.items().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_token_of_the_host_is_required_where_it_is_set() {
    let place = Place::new();
    let token = "one-time-code-made-on-the-host";
    let server = place.start_with(|command| {
        usual(command);
        command.env("AGNES_BOOTSTRAP_TOKEN", token);
    });
    let anyone = Caller::of(&server);
    for wrong in [
        json!(null),
        json!(""),
        json!("one-time-code-made-on-the-hosT"),
    ] {
        let form = json!({"email": ADMIN, "password": PASSWORD, "bootstrap_token": wrong});
        assert_eq!(
            anyone.post("/auth/bootstrap", form).await.status,
            403,
            "{wrong}"
        );
    }
    let form = json!({"email": ADMIN, "password": PASSWORD, "bootstrap_token": token});
    assert_eq!(anyone.post("/auth/bootstrap", form).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_or_no_password_is_refused_by_name() {
    let place = Place::new();
    let server = place.start_with(usual);
    let anyone = Caller::of(&server);
    for (email, password, want) in [
        ("no address", PASSWORD, 422),
        (ADMIN, "short", 422),
        (ADMIN, &"x".repeat(129), 422),
    ] {
        let form = json!({"email": email, "password": password});
        assert_eq!(
            anyone.post("/auth/bootstrap", form).await.status,
            want,
            "{email}"
        );
    }
    assert_eq!(anyone.post("/auth/bootstrap", json!({})).await.status, 422);
}

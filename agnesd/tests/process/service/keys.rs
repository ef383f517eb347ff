//! Signing keys: two verify, one signs, and an exchange refuses nobody (A03).

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use super::client::{ADMIN, PASSWORD, started, started_with};
use crate::server::Place;

const OLD: &str = "the-old-signing-key-of-this-test-0001";
const NEW: &str = "the-new-signing-key-of-this-test-0002";

#[tokio::test(flavor = "multi_thread")]
async fn a03_an_exchange_of_keys_refuses_no_valid_call_and_a_retired_key_opens_nothing() {
    let place = Place::new();
    let (current, previous) = (place.path().join("jwt"), place.path().join("jwt-previous"));
    fs::write(&current, OLD).unwrap();
    let (mut server, anyone, before) = started_with(&place, |command| {
        command
            .env("JWT_SECRET_KEY_FILE", &current)
            .env("JWT_SECRET_KEY_PREVIOUS_FILE", &previous);
    })
    .await;
    let (stop, refused) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let calls = {
        let (stop, refused, before) = (Arc::clone(&stop), Arc::clone(&refused), before.clone());
        tokio::spawn(async move {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) {
                let ok = before.get("/api/me").await.status == 200;
                refused.fetch_add(usize::from(!ok), Ordering::Relaxed);
                calls += 1;
            }
            calls
        })
    };
    fs::write(&previous, OLD).unwrap();
    fs::write(&current, NEW).unwrap();
    server.signal(Signal::SIGHUP);
    server.until_logged("secrets taken up");
    let after = anyone.signed_in(ADMIN, PASSWORD).await;
    assert_eq!(after.get("/api/me").await.status, 200);
    stop.store(true, Ordering::Relaxed);
    assert!(calls.await.unwrap() > 0);
    assert_eq!(refused.load(Ordering::Relaxed), 0);

    fs::remove_file(&previous).unwrap();
    server.signal(Signal::SIGHUP);
    server.until_logged_times("secrets taken up", 2);
    assert_eq!(
        before.get("/api/me").await.status,
        401,
        "the old key is retired"
    );
    assert_eq!(after.get("/api/me").await.status, 200);

    // a bad file changes nothing
    fs::write(&current, "short").unwrap();
    server.signal(Signal::SIGHUP);
    server.until_logged("secrets refused, those in use stay");
    assert_eq!(after.get("/api/me").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_somebody_else_made_or_changed_opens_nothing() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::{Value, json};

    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let reply = anyone.sign_in(ADMIN, PASSWORD).await;
    let token = reply.text("access_token");
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let claims: Value = jsonwebtoken::dangerous::insecure_decode::<Value>(&token)
        .unwrap()
        .claims;
    let kid = header.kid.clone().unwrap();
    let sign = |claims: &Value, kid: Option<&str>, key: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let right = super::client::JWT_KEY.as_bytes();
    assert_eq!(
        anyone
            .bearing(&sign(&claims, Some(&kid), right))
            .get("/api/me")
            .await
            .status,
        200
    );
    // a clock that was set back a little
    let ahead = claims["iat"].as_i64().unwrap() + 30;
    let mut early = claims.clone();
    early["iat"] = json!(ahead);
    let early = anyone.bearing(&sign(&early, Some(&kid), right));
    assert_eq!(early.get("/api/me").await.status, 200);
    let changed = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        sign(&claims, Some(&kid), right)
    };
    let (_, rest) = token.split_once('.').unwrap();
    let bad = [
        sign(
            &claims,
            Some(&kid),
            b"another key of enough characters 0123",
        ),
        sign(&claims, Some(&kid), b""),
        sign(&claims, Some("../../dev/null"), right),
        sign(&claims, None, right),
        changed("exp", json!(1)),
        changed("typ", json!("refresh")),
        changed("epoch", json!(0)),
        changed("iat", json!(claims["iat"].as_i64().unwrap() + 120)),
        changed("iat", json!("soon")),
        changed("sid", json!("018f0000-0000-7000-8000-000000000000")),
        changed("sub", json!("018f0000-0000-7000-8000-000000000000")),
        // {"alg":"none","kid":...}
        format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
            rest.split_once('.').unwrap().0
        ),
        format!("{token}x"),
        token[..token.len() - 2].to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
    ];
    for token in bad {
        let reply = anyone.bearing(&token).get("/api/me").await;
        assert_eq!(reply.status, 401, "{token}");
        assert_eq!(reply.text("reason"), "session-invalid");
    }
    assert_eq!(admin.get("/api/me").await.status, 200);
}

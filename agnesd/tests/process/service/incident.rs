//! What an operator does in an incident through the control socket: shutting somebody out, more calls for one, the audit chain.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{ADMIN, Caller, PASSWORD, SCHEDULER, member, started, started_with, usual};
use super::control::Control;
use crate::server::Place;

fn until(from_now: Duration) -> String {
    let at = time::OffsetDateTime::now_utc() + from_now;
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_who_is_contained_has_nothing_that_opens() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let control = Control::of(&place);
    let session = member(&admin, &anyone, "mallory@example.com").await;
    let made = session.post("/auth/tokens", json!({"name": "ci"})).await;
    let token = anyone.bearing(&made.text("token"));
    assert_eq!(token.get("/api/me").await.status, 200);
    let (status, link) = control
        .post("/v1/sign-in-link", json!({"email": "mallory@example.com"}))
        .await;
    assert_eq!(status, 201, "{link}");

    assert_eq!(token.get("/api/users").await.status, 403);
    let denied = admin.audit("auth.denied").await;
    assert_eq!(denied[0]["actor"], "mallory@example.com", "{denied:?}");
    assert_eq!(denied[0]["resource"], "GET /api/users");

    let (status, seen) = control.get("/v1/principals/mallory@example.com").await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(seen["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(seen["tokens"][0]["name"], "ci");
    assert!(seen["tokens"][0]["last_used_at"].is_string(), "{seen}");

    // held writes are what a way back would lose
    control.post("/v1/writes/hold", json!({"id": "u1"})).await;
    let path = "/v1/principals/mallory@example.com/contain";
    let (status, refused) = control.post(path, json!({})).await;
    assert_eq!((status, &refused["reason"]), (503, &json!("writes-held")));
    assert_eq!(token.get("/api/me").await.status, 200);
    control.post("/v1/writes/release", json!({})).await;

    let (status, done) = control.post(path, json!({})).await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(done["shut_out"], "disabled");
    assert_eq!(
        (&done["sessions_ended"], &done["tokens_revoked"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(done["user"]["disabled"], true);
    for caller in [&session, &token] {
        assert_eq!(caller.get("/api/me").await.status, 401);
    }
    let again = anyone.sign_in("mallory@example.com", PASSWORD).await;
    assert_eq!(again.status, 401, "{again:?}");
    let used = anyone
        .post("/auth/magic/verify", json!({"token": link["token"]}))
        .await;
    assert_eq!(used.status, 401, "{used:?}");
    let rows = admin.audit("user.contained").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["actor"], "control-socket");
    assert_eq!(rows[0]["metadata"]["tokens"], 1);
    // again is fine
    let (_, done) = control.post(path, json!({})).await;
    assert_eq!(done["shut_out"], "disabled-before");

    let (status, nobody) = control
        .post("/v1/principals/nobody@example.com/contain", json!({}))
        .await;
    assert_eq!(status, 404, "{nobody}");
    anyone.bearing(SCHEDULER).get("/api/me").await;
    let (status, own) = control
        .post("/v1/principals/scheduler@system.local/contain", json!({}))
        .await;
    assert_eq!((status, &own["reason"]), (409, &json!("built-in")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a09_the_last_administrator_is_contained_and_one_is_left() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let control = Control::of(&place);
    let (status, done) = control
        .post(&format!("/v1/principals/{ADMIN}/contain"), json!({}))
        .await;
    assert_eq!(
        (status, &done["shut_out"]),
        (200, &json!("password-replaced")),
        "{done}"
    );
    assert_eq!(admin.get("/api/me").await.status, 401);
    assert_eq!(anyone.sign_in(ADMIN, PASSWORD).await.status, 401);
    // nobody else becomes the first one
    let form = json!({"email": "mallory@example.com", "password": PASSWORD});
    assert_eq!(anyone.post("/auth/bootstrap", form).await.status, 409);
    let (_, link) = control
        .post("/v1/sign-in-link", json!({"email": ADMIN}))
        .await;
    let back = anyone
        .post("/auth/magic/verify", json!({"token": link["token"]}))
        .await;
    assert_eq!(back.status, 200, "{back:?}");
    let back = anyone.bearing(&back.text("access_token"));
    assert_eq!(back.get("/api/users").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principal_gets_more_calls_until_a_time_and_over_a_restart() {
    let place = Place::new();
    let few = |command: &mut std::process::Command| {
        usual(command);
        command.env("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "5");
    };
    let (mut server, anyone, admin) = started_with(&place, few).await;
    let other = member(&admin, &anyone, "other@example.com").await;
    let made = admin.post("/auth/tokens", json!({"name": "sync"})).await;
    let token = made.text("token");
    let limited = async |caller: &Caller| {
        for _ in 0..10 {
            if caller.get("/api/me").await.status == 429 {
                return true;
            }
        }
        false
    };
    assert!(limited(&admin).await);
    let control = Control::of(&place);
    let (_, seen) = control.get(&format!("/v1/principals/{ADMIN}")).await;
    assert_eq!(seen["limit"]["per_min"], 5, "{seen}");
    assert!(seen["limit"]["refused"].as_u64().unwrap() > 0, "{seen}");

    let path = format!("/v1/principals/{ADMIN}/limit");
    let in_an_hour = until(Duration::from_secs(3600));
    for (wrong, why) in [
        (
            json!({"per_min": 5, "until": in_an_hour}),
            "no more than everybody",
        ),
        (
            json!({"per_min": 1_000_000, "until": in_an_hour}),
            "too much",
        ),
        (
            json!({"per_min": 50, "until": "2020-01-01T00:00:00Z"}),
            "past",
        ),
        (
            json!({"per_min": 50, "until": until(Duration::from_secs(40 * 86_400))}),
            "too long",
        ),
    ] {
        assert_eq!(control.put(&path, wrong).await.0, 422, "{why}");
    }
    let terms = json!({"per_min": 5000, "until": in_an_hour});
    let (status, seen) = control.put(&path, terms).await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(seen["limit"]["per_min"], 5000);
    assert_eq!(seen["limit"]["refused"], Value::Null);
    assert!(!limited(&admin).await);
    assert!(limited(&other).await, "the others have what they had");

    // over a restart, and gone when its time is over
    server.stop();
    let server = place.start_with(few);
    let admin = Caller::of(&server).bearing(&token);
    let control = Control::of(&place);
    assert!(!limited(&admin).await);
    let soon = json!({"per_min": 5000, "until": until(Duration::from_secs(2))});
    assert_eq!(control.put(&path, soon).await.0, 200);
    let begun = Instant::now();
    while !limited(&admin).await {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // and when it is taken back
    let terms = json!({"per_min": 5000, "until": in_an_hour});
    assert_eq!(control.put(&path, terms).await.0, 200);
    assert!(!limited(&admin).await);
    let (status, seen) = control.delete(&path).await;
    assert_eq!(
        (status, &seen["limit"]["per_min"]),
        (200, &json!(5)),
        "{seen}"
    );
    assert!(limited(&admin).await);
    let (_, rows) = control.get("/v1/audit?action=limit.raised").await;
    assert_eq!(rows["items"].as_array().unwrap().len(), 3, "{rows}");
    let (_, rows) = control.get("/v1/audit?action=limit.raise_ended").await;
    assert_eq!(rows["items"].as_array().unwrap().len(), 1, "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_the_chain_is_verified_while_the_server_runs_and_writes() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    let control = Control::of(&place);
    let writing = async {
        for n in 0..60 {
            let name = json!({"name": format!("group-{n}")});
            assert_eq!(admin.post("/api/groups", name).await.status, 201);
        }
    };
    let verifying = async {
        let mut last = 0;
        for _ in 0..30 {
            let (status, report) = control.post("/v1/audit/verify", json!({})).await;
            assert_eq!(status, 200, "{report}");
            assert_eq!(report["findings"], json!([]), "{report}");
            last = report["last_seq"].as_i64().unwrap();
        }
        last
    };
    let ((), last) = tokio::join!(writing, verifying);
    let (_, report) = control.post("/v1/audit/verify", json!({})).await;
    assert!(report["last_seq"].as_i64().unwrap() >= last, "{report}");
    assert!(report["rows"].as_u64().unwrap() > 60, "{report}");
}

//! What opens the API and what does not (A01, A02, A07, A08).

use std::io::Write;

use serde_json::json;

use super::client::{ADMIN, Caller, PASSWORD, SCHEDULER, member, started, started_with};
use crate::server::{Place, answer};

#[tokio::test(flavor = "multi_thread")]
async fn a01_without_a_scheduler_secret_nothing_passes_for_one() {
    let place = Place::new();
    let (_server, anyone, _) = started_with(&place, |command| {
        command.env_remove("SCHEDULER_API_TOKEN");
    })
    .await;
    for token in ["undefined", "null", "None", "true", "0", "x", SCHEDULER] {
        let reply = anyone.bearing(token).get("/api/me").await;
        assert_eq!(reply.status, 401, "{token}");
        assert!(
            reply
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer")
        );
    }
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", "bearer\tx"] {
        let reply = anyone
            .with_header("authorization", value)
            .get("/api/me")
            .await;
        assert_eq!(reply.status, 401, "{value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_a_short_scheduler_secret_is_no_secret() {
    let place = Place::new();
    let short = "thirty-one-characters-are-short";
    assert_eq!(short.len(), 31);
    let (_server, anyone, _) = started_with(&place, |command| {
        command.env("SCHEDULER_API_TOKEN", short);
    })
    .await;
    assert_eq!(anyone.bearing(short).get("/api/me").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a02_bytes_that_are_no_text_are_refused_and_never_an_error_of_the_server() {
    let place = Place::new();
    let (server, _, _) = started(&place).await;
    let tokens: [&[u8]; 5] = [
        b"\xff\xfe\xfd",
        b"agp_\xc3\x28",
        "ключ".as_bytes(),
        b"\x80",
        b"agp_",
    ];
    for token in tokens {
        let mut stream = server.connect();
        stream
            .write_all(
                b"GET /api/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ",
            )
            .unwrap();
        stream.write_all(token).unwrap();
        stream.write_all(b"\r\n\r\n").unwrap();
        let status = answer(&mut stream).unwrap().status;
        assert!(status == 401 || status == 400, "{token:?}: {status}");
    }
    let twice = "GET /api/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n";
    let mut stream = server.connect();
    stream.write_all(twice.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_reads_and_may_not_touch_users_tokens_roles_keys_or_settings() {
    let place = Place::new();
    let (_server, anyone, _) = started(&place).await;
    let scheduler = anyone.bearing(SCHEDULER);
    let me = scheduler.get("/api/me").await;
    assert_eq!(
        (me.status, me.text("email").as_str()),
        (200, "scheduler@system.local")
    );
    assert_eq!(me.body["admin"], true);
    for path in [
        "/api/users",
        "/api/groups",
        "/api/roles",
        "/api/group-mappings",
        "/api/admin/config",
        "/auth/tokens",
    ] {
        let reply = scheduler.get(path).await;
        assert_eq!(reply.status, 403, "{path}");
        assert_eq!(reply.text("reason"), "scheduler-refused");
    }
    let form = json!({"name": "x", "scopes": [], "expires_in_days": 1});
    assert_eq!(scheduler.post("/auth/tokens", form).await.status, 403);
    let form = json!({"value": "https://example.com"});
    assert_eq!(
        scheduler
            .put("/api/admin/config/data_source_url", form)
            .await
            .status,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_wrong_and_disabled_get_one_answer() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "gone@example.com").await;
    let disabled = admin
        .post("/api/users/gone@example.com/disable", json!({}))
        .await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    let mut bodies = Vec::new();
    for (email, password) in [
        (ADMIN, "wrong horse battery staple"),
        ("nobody@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
        ("scheduler@system.local", PASSWORD),
        ("no address at all", PASSWORD),
    ] {
        let mut reply = anyone.sign_in(email, password).await;
        assert_eq!(reply.status, 401, "{email}");
        reply.body["request_id"].take();
        bodies.push(reply.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_one_account_are_throttled_whether_it_exists_or_not() {
    let place = Place::new();
    let (_server, anyone, _) = started(&place).await;
    for email in [ADMIN, "nobody@example.com"] {
        for n in 0..10 {
            assert_eq!(
                anyone
                    .sign_in(email, "wrong horse battery staple")
                    .await
                    .status,
                401,
                "{n}"
            );
        }
        let reply = anyone.sign_in(&email.to_uppercase(), PASSWORD).await;
        assert_eq!(reply.status, 429, "{email}");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_errors_of_one_person_lock_out_nobody() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let none = ["", "admin", "admin@", "@example.com", "admin example.com"];
    for n in 0..11 {
        let reply = anyone.sign_in(none[n % none.len()], PASSWORD).await;
        assert_eq!(reply.status, 401, "{n}: what is no address is no account");
    }
    assert_eq!(anyone.sign_in(ADMIN, PASSWORD).await.status, 200);
    // none of it is written anywhere as if it were somebody
    let rows = admin.audit("auth.failed").await;
    assert_eq!(rows[0]["resource"], "user:(no address)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_family() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let first = anyone.sign_in(ADMIN, PASSWORD).await;
    let old = json!({"refresh_token": first.text("refresh_token")});
    let second = anyone.post("/auth/refresh", old.clone()).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.body["token_type"], "bearer");
    assert_eq!(second.body["expires_in"], 900);
    let caller = anyone.bearing(&second.text("access_token"));
    assert_eq!(caller.get("/api/me").await.status, 200);

    assert_eq!(anyone.post("/auth/refresh", old).await.status, 401);
    let new = json!({"refresh_token": second.text("refresh_token")});
    assert_eq!(
        anyone.post("/auth/refresh", new).await.status,
        401,
        "the family has ended"
    );
    assert_eq!(
        caller.get("/api/me").await.status,
        401,
        "and its access tokens with it"
    );
    assert_eq!(
        admin.get("/api/me").await.status,
        200,
        "another session is another family"
    );
    assert_eq!(admin.audit("session.reuse_detected").await.len(), 1);
    for garbage in ["", ".", "x.y", "018f0000-0000-7000-8000-000000000000.x"] {
        let form = json!({"refresh_token": garbage});
        assert_eq!(
            anyone.post("/auth/refresh", form).await.status,
            401,
            "{garbage}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_this_session_and_everywhere_ends_all() {
    let place = Place::new();
    let (_server, anyone, one) = started(&place).await;
    let two = anyone.signed_in(ADMIN, PASSWORD).await;
    let three = anyone.signed_in(ADMIN, PASSWORD).await;
    assert_eq!(one.post("/auth/logout", json!({})).await.status, 204);
    assert_eq!(one.get("/api/me").await.status, 401);
    assert_eq!(two.get("/api/me").await.status, 200);
    assert_eq!(two.post("/auth/logout-all", json!({})).await.status, 204);
    for caller in [two, three] {
        assert_eq!(caller.get("/api/me").await.status, 401);
    }
    assert_eq!(anyone.sign_in(ADMIN, PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_token_is_shown_once_scoped_and_revoked_at_once() {
    let place = Place::new();
    let (mut server, anyone, admin) = started(&place).await;
    let form = json!({"name": "reader", "scopes": ["read"], "expires_in_days": 3});
    let made = admin.post("/auth/tokens", form).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (id, token) = (made.text("id"), made.text("token"));
    assert!(token.starts_with("agp_"));
    let reader = anyone.bearing(&token);
    let me = reader.with_header("user-agent", "ci").get("/api/me").await;
    assert_eq!(me.status, 200);
    assert!(
        me.header("x-token-expires-at").is_some(),
        "it ends within a week"
    );
    // an administrator's token, limited to reading
    let reply = reader.post("/api/groups", json!({"name": "g"})).await;
    assert_eq!(
        (reply.status, reply.text("reason").as_str()),
        (403, "scope-missing")
    );
    // no token makes tokens
    let reply = reader.post("/auth/tokens", json!({"name": "x"})).await;
    assert_eq!(
        (reply.status, reply.text("reason").as_str()),
        (403, "session-required")
    );
    let all = admin
        .post(
            "/auth/tokens",
            json!({"name": "all", "scopes": [], "expires_in_days": 30}),
        )
        .await;
    let all = anyone.bearing(&all.text("token"));
    assert_eq!(
        all.post("/api/groups", json!({"name": "g"})).await.status,
        201
    );
    assert_eq!(
        all.post("/auth/tokens", json!({"name": "x"})).await.status,
        403
    );
    assert!(
        all.get("/api/me")
            .await
            .header("x-token-expires-at")
            .is_none()
    );

    let list = admin.get("/auth/tokens").await;
    let listed = list
        .items()
        .iter()
        .find(|t| t["id"] == id.as_str())
        .unwrap();
    assert!(listed.get("token").is_none() && !list.body.to_string().contains(&token));
    assert!(
        listed["last_used_at"].is_string() && listed["last_used_ip"] == "127.0.0.1",
        "{listed}"
    );
    // it survives a restart as it was, without the secret anywhere in the files
    assert_eq!(server.stop(), 0);
    let database = std::fs::read(place.state().join("system.duckdb")).unwrap();
    assert!(
        !database
            .windows(token.len())
            .any(|window| window == token.as_bytes())
    );
    let server = place.start_with(super::client::usual);
    let anyone = Caller::of(&server);
    let reader = anyone.bearing(&token);
    assert_eq!(reader.get("/api/me").await.status, 200);
    let admin = anyone.signed_in(ADMIN, PASSWORD).await;
    assert_eq!(
        admin.delete(&format!("/auth/tokens/{id}")).await.status,
        204
    );
    assert_eq!(reader.get("/api/me").await.status, 401);
    for form in [
        json!({"name": "", "expires_in_days": 1}),
        json!({"name": "x", "expires_in_days": 0}),
        json!({"name": "x", "expires_in_days": 9999}),
        json!({"name": "x", "scopes": ["root"]}),
    ] {
        assert_eq!(
            admin.post("/auth/tokens", form.clone()).await.status,
            422,
            "{form}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a07_an_address_in_other_letters_is_the_same_account() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "Case@Example.com").await;
    for same in ["case@example.com", "CASE@EXAMPLE.COM", " case@example.com "] {
        let form = json!({"email": same, "password": PASSWORD});
        assert_eq!(admin.post("/api/users", form).await.status, 409, "{same}");
        assert_eq!(anyone.sign_in(same, PASSWORD).await.status, 200, "{same}");
    }
    assert_eq!(
        admin
            .post("/api/users/CASE@example.com/disable", json!({}))
            .await
            .status,
        200
    );
    for same in ["case@example.com", "Case@Example.com"] {
        assert_eq!(anyone.sign_in(same, PASSWORD).await.status, 401, "{same}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_disabling_ends_sessions_tokens_and_refresh_at_once_and_for_good() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let leaver = member(&admin, &anyone, "leaver@example.com").await;
    let refresh = anyone
        .sign_in("leaver@example.com", PASSWORD)
        .await
        .text("refresh_token");
    let token = leaver
        .post("/auth/tokens", json!({"name": "t"}))
        .await
        .text("token");
    let by_token = anyone.bearing(&token);
    assert_eq!(by_token.get("/api/me").await.status, 200);
    assert_eq!(
        admin.delete("/api/users/leaver@example.com").await.status,
        200
    );
    assert_eq!(leaver.get("/api/me").await.status, 401);
    assert_eq!(by_token.get("/api/me").await.status, 401);
    let form = json!({"refresh_token": refresh});
    assert_eq!(anyone.post("/auth/refresh", form).await.status, 401);
    assert_eq!(
        admin
            .post("/api/users/leaver@example.com/enable", json!({}))
            .await
            .status,
        200
    );
    assert_eq!(
        by_token.get("/api/me").await.status,
        401,
        "a revoked token stays revoked"
    );
    assert_eq!(
        leaver.get("/api/me").await.status,
        401,
        "an ended session stays ended"
    );
    assert_eq!(
        anyone.sign_in("leaver@example.com", PASSWORD).await.status,
        200
    );
}

//! Users, groups, roles (A09), and who is told what is missing.

use serde_json::json;

use super::client::{ADMIN, PASSWORD, member, started};
use crate::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a09_a_hundred_at_once_cannot_remove_the_last_administrator() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let mut emails = vec![ADMIN.to_owned()];
    for n in 0..5 {
        let email = format!("a{n}@example.com");
        let form = json!({"email": email, "password": PASSWORD, "groups": ["Admin"]});
        assert_eq!(admin.post("/api/users", form).await.status, 201);
        emails.push(email);
    }
    let mut callers = Vec::new();
    for email in &emails {
        callers.push(anyone.signed_in(email, PASSWORD).await);
    }
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..100 {
        // each is shown out by each of the others, in both ways
        let caller = callers[n % callers.len()].clone();
        let email = emails[(n / 2) % emails.len()].clone();
        tries.spawn(async move {
            if n % 2 == 0 {
                caller.delete(&format!("/api/users/{email}")).await.status
            } else {
                let path = format!("/api/groups/Admin/members/{email}");
                caller.delete(&path).await.status
            }
        });
    }
    tries.join_all().await;
    let administrators = async || {
        let mut found = Vec::new();
        for email in &emails {
            let reply = anyone.sign_in(email, PASSWORD).await;
            if reply.status == 200 {
                let caller = anyone.bearing(&reply.text("access_token"));
                if caller.get("/api/users").await.status == 200 {
                    found.push(caller);
                }
            }
        }
        found
    };
    // one of them at least still signs in and administers, and cannot be brought to leave nobody
    let left = administrators().await;
    let last = left.first().expect("nobody administers any more");
    for email in &emails {
        last.delete(&format!("/api/groups/Admin/members/{email}"))
            .await;
        last.delete(&format!("/api/users/{email}")).await;
    }
    assert_eq!(administrators().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_admin_stays_and_so_does_the_scheduler_in_it() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    let reply = admin.post("/api/groups/Admin/disable", json!({})).await;
    assert_eq!(
        (reply.status, reply.text("reason").as_str()),
        (409, "built-in")
    );
    let reply = admin
        .delete("/api/groups/Admin/members/scheduler@system.local")
        .await;
    assert_eq!(reply.status, 409);
    let reply = admin.delete("/api/users/scheduler@system.local").await;
    assert_eq!(reply.status, 409);
    let reply = admin.delete(&format!("/api/users/{ADMIN}")).await;
    assert_eq!(
        (reply.status, reply.text("reason").as_str()),
        (409, "last-admin")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_comes_with_an_outside_group_and_goes_with_it() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let auditor = member(&admin, &anyone, "auditor@example.com").await;
    let turned_away = auditor.get("/api/audit").await;
    assert_eq!(
        (turned_away.status, turned_away.text("reason").as_str()),
        (403, "role-missing")
    );
    assert_eq!(turned_away.text("role"), "auditor");
    let nobody = anyone.get("/api/audit").await;
    assert_eq!(
        (nobody.status, nobody.text("reason").as_str()),
        (401, "session-missing")
    );

    let group = json!({"name": "outside auditors", "external_id": "directory/auditors"});
    assert_eq!(admin.post("/api/groups", group).await.status, 201);
    let mapping = json!({"external_id": "directory/auditors", "role": "auditor"});
    let mapping = admin.post("/api/group-mappings", mapping).await;
    assert_eq!(mapping.status, 201, "{mapping:?}");
    let joining = json!({"email": "auditor@example.com"});
    assert_eq!(
        admin
            .post("/api/groups/outside%20auditors/members", joining)
            .await
            .status,
        204
    );
    assert_eq!(auditor.get("/api/audit").await.status, 200);
    assert_eq!(
        auditor.get("/api/me").await.body["roles"],
        json!(["auditor"])
    );
    assert_eq!(
        auditor.get("/api/users").await.status,
        403,
        "no more than that"
    );
    let id = mapping.text("id");
    assert_eq!(
        admin
            .patch(
                &format!("/api/group-mappings/{id}"),
                json!({"disabled": true})
            )
            .await
            .status,
        200
    );
    assert_eq!(auditor.get("/api/audit").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_and_roles_are_lower_snake_case() {
    let place = Place::new();
    let (_server, _, admin) = started(&place).await;
    for (path, body, want) in [
        ("/api/groups", json!({"name": "one"}), 201),
        ("/api/groups", json!({"name": "one"}), 409),
        ("/api/groups", json!({"name": " "}), 422),
        (
            "/api/roles",
            json!({"name": "report_reader", "description": "reads reports"}),
            201,
        ),
        ("/api/roles", json!({"name": "report_reader"}), 409),
        ("/api/roles", json!({"name": "Report-Reader"}), 422),
        (
            "/api/group-mappings",
            json!({"external_id": "x", "role": "nowhere"}),
            404,
        ),
        (
            "/api/group-mappings",
            json!({"external_id": "x", "role": "report_reader"}),
            201,
        ),
        (
            "/api/group-mappings",
            json!({"external_id": "x", "role": "report_reader"}),
            409,
        ),
        (
            "/api/users",
            json!({"email": "a@example.com", "groups": ["nowhere"]}),
            404,
        ),
    ] {
        let reply = admin.post(path, body.clone()).await;
        assert_eq!(reply.status, want, "{path} {body}: {reply:?}");
    }
    assert_eq!(
        admin.get("/api/users/a@example.com").await.status,
        404,
        "nothing was made"
    );
    let roles = admin.get("/api/roles").await;
    let mine = roles
        .items()
        .iter()
        .find(|role| role["name"] == "report_reader")
        .unwrap();
    assert_eq!(mine["registered_by"], "api");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_every_act_has_a_row_and_what_a_stranger_sends_forges_none() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "one@example.com").await;
    let created = admin.audit("user.created").await;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["actor"], ADMIN);
    assert_eq!(created[0]["resource"], "user:one@example.com");
    assert_eq!(created[0]["ip"], "127.0.0.1");
    assert_eq!(created[0]["outcome"], "success");
    for field in ["id", "at", "user_agent", "request_id", "metadata"] {
        assert!(!created[0][field].is_null(), "{field}");
    }
    let forger = anyone.with_header("user-agent", "x\u{202e}<script>alert(1)</script>");
    for _ in 0..3 {
        forger
            .sign_in("a\"\u{2028}b@example.com", "wrong horse battery staple")
            .await;
    }
    let failed = admin.audit("auth.failed").await;
    let count: i64 = failed
        .iter()
        .map(|row| row["count"].as_i64().unwrap())
        .sum();
    assert_eq!(count, 3);
    assert!(failed.len() <= 2, "one row a minute: {failed:?}");
    assert!(
        !failed[0]["user_agent"]
            .as_str()
            .unwrap()
            .contains('\u{202e}')
    );
    let page = admin
        .get("/api/audit?actor=admin@example.com&outcome=success&limit=2")
        .await;
    assert_eq!(page.items().len(), 2);
    let cursor = page.text("next_cursor");
    let next = admin
        .get(&format!(
            "/api/audit?actor=admin@example.com&outcome=success&limit=2&cursor={cursor}"
        ))
        .await;
    assert!(next.items().iter().all(|row| !page.items().contains(row)));
    let none = admin.get("/api/audit?from=2020-01-01&to=2020-01-02").await;
    assert!(none.items().is_empty());
    for bad in [
        "limit=0",
        "limit=x",
        "cursor=x",
        "from=yesterday",
        "limit=1001",
    ] {
        assert_eq!(
            admin.get(&format!("/api/audit?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_names_is_none_however_its_values_are_ordered() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "one@example.com").await;
    let unnamed = admin
        .patch("/api/users/one@example.com", json!([true, null]))
        .await;
    assert_eq!(unnamed.status, 422, "{}", unnamed.body);
    let unnamed = anyone.post("/auth/token", json!([ADMIN, PASSWORD])).await;
    assert_eq!(unnamed.status, 422, "{}", unnamed.body);
    let user = admin.get("/api/users/one@example.com").await;
    assert_eq!(user.body["disabled"], false);
}

//! The API as it is documented: the gate of every route, methods, stored text, tokens counted.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Caller, PASSWORD, SCHEDULER, member, started, started_with, usual};
use crate::server::{Place, ask, output};

const ACCESS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/access.md"));

/// A route of the table: its method, its path, and a cell for each caller.
type Row = (Method, &'static str, Vec<&'static str>);

/// The checked-in table: its columns, and its rows with `yes`, `401` or `403` for each.
fn table() -> (Vec<&'static str>, Vec<Row>) {
    let mut lines = ACCESS.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(line.split(" | ").collect::<Vec<_>>())
    });
    let columns = lines.next().unwrap()[1..].to_vec();
    let rows = lines.map(|cells| {
        let (method, path) = cells[0].trim_matches('`').split_once(' ').unwrap();
        (method.parse().unwrap(), path, cells[1..].to_vec())
    });
    (columns, rows.collect())
}

async fn token(session: &Caller, anyone: &Caller, scope: &str) -> Caller {
    let form = json!({"name": scope, "scopes": [scope]});
    let reply = session.post("/auth/tokens", form).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    anyone.bearing(&reply.text("token"))
}

/// Somebody with this role, through a group of the outside directory as any role is had.
async fn with_role(admin: &Caller, anyone: &Caller, role: &str) -> Caller {
    let (group, email) = (format!("{role}s"), format!("{role}@example.com"));
    let caller = member(admin, anyone, &email).await;
    let external = format!("ext-{role}");
    let made = admin
        .post(
            "/api/groups",
            json!({"name": group, "external_id": external}),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let joined = admin
        .post(
            &format!("/api/groups/{group}/members"),
            json!({"email": email}),
        )
        .await;
    assert_eq!(joined.status, 204, "{joined:?}");
    let mapped = admin
        .post(
            "/api/group-mappings",
            json!({"external_id": external, "role": role}),
        )
        .await;
    assert_eq!(mapped.status, 201, "{mapped:?}");
    caller
}

/// The caller of each column, by the column's name; sessions with their address, to begin them again.
async fn callers(anyone: &Caller, admin: &Caller) -> BTreeMap<String, (Caller, Option<String>)> {
    let plain = member(admin, anyone, "member@example.com").await;
    let mut all = BTreeMap::new();
    for (name, owner) in [("member", &plain), ("admin", admin)] {
        for scope in ["read", "write", "admin"] {
            let caller = token(owner, anyone, scope).await;
            all.insert(format!("{name}'s token: {scope}"), (caller, None));
        }
    }
    for role in ["auditor", "job_operator"] {
        let caller = with_role(admin, anyone, role).await;
        all.insert(
            role.replace('_', " "),
            (caller, Some(format!("{role}@example.com"))),
        );
    }
    all.insert("nobody".into(), (anyone.clone(), None));
    all.insert("scheduler".into(), (anyone.bearing(SCHEDULER), None));
    all.insert("member".into(), (plain, Some("member@example.com".into())));
    all.insert("admin".into(), (admin.clone(), Some(ADMIN.into())));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_of_every_route_does_what_the_access_table_says() {
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let callers = callers(&anyone, &admin).await;
    let (columns, mut rows) = table();
    assert_eq!(columns.len(), callers.len());
    assert!(rows.len() > 40, "{}", rows.len());
    // what ends sessions comes last
    rows.sort_by_key(|(_, path, _)| path.contains("logout"));
    let mut wrong = Vec::new();
    for (method, path, cells) in rows {
        // of nothing that is there, and without a body: whoever gets past the gate changes nothing
        let address = path
            .replace("{id}", "00000000-0000-0000-0000-000000000000")
            .replace("{user}", "nobody@example.com")
            .replace("{name}", "nothing")
            .replace("{key}", "nothing");
        for (column, cell) in columns.iter().zip(cells) {
            let (caller, session_of) = &callers[*column];
            let caller = match session_of {
                Some(email) if path.contains("logout") => anyone.signed_in(email, PASSWORD).await,
                _ => caller.clone(),
            };
            let reply = caller.try_call(method.clone(), &address, None).await;
            let reply = reply.unwrap();
            let agrees = match cell {
                "yes" => !matches!(reply.status, 401 | 403) && reply.status < 500,
                refused => reply.status.to_string() == refused,
            };
            if !agrees {
                wrong.push(format!(
                    "{method} {path} by {column}: {cell}, answered {}",
                    reply.status
                ));
            }
            assert_eq!(
                reply.header("www-authenticate").is_some(),
                reply.status == 401
            );
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_and_options_is_no_method_of_a_route() {
    let place = Place::new();
    let (_server, anyone, _) = started(&place).await;
    for path in [
        "/api/health",
        "/api/version",
        "/api/docs",
        "/healthz",
        "/readyz",
    ] {
        let (get, head) = (
            anyone.get(path).await,
            anyone.try_call(Method::HEAD, path, None).await.unwrap(),
        );
        assert_eq!((get.status, head.status), (200, 200), "{path}");
        assert_eq!(head.body, Value::String(String::new()), "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
    }
    let head = anyone
        .try_call(Method::HEAD, "/api/me", None)
        .await
        .unwrap();
    assert_eq!(head.status, 401);
    for (path, allowed) in [("/api/health", "GET,HEAD"), ("/auth/token", "POST")] {
        let reply = anyone.try_call(Method::OPTIONS, path, None).await.unwrap();
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some(allowed)),
            "{path}"
        );
    }
    let reply = anyone
        .try_call(Method::OPTIONS, "/api/users/x", None)
        .await
        .unwrap();
    let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(
        (reply.status, allowed),
        (405, vec!["DELETE", "GET", "HEAD", "PATCH"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn script_in_stored_text_is_data_wherever_it_comes_back() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let place = Place::new();
    let (_server, anyone, admin) = started(&place).await;
    let form = json!({"email": "eve@example.com", "name": SCRIPT, "password": PASSWORD});
    assert_eq!(admin.post("/api/users", form).await.status, 201);
    let eve = anyone.signed_in("eve@example.com", PASSWORD).await;
    let form = json!({"name": SCRIPT, "scopes": ["read"]});
    assert_eq!(eve.post("/auth/tokens", form).await.status, 201);
    let agent = eve.with_header("user-agent", SCRIPT);
    assert_eq!(
        agent
            .post("/auth/tokens", json!({"name": "x"}))
            .await
            .status,
        201
    );
    let mut seen = 0;
    for (caller, path) in [
        (&eve, "/api/me"),
        (&eve, "/auth/tokens"),
        (&admin, "/api/users"),
        (&admin, "/api/audit"),
        (&anyone, "/api/docs"),
        (&anyone, "/api/nothing?<script>"),
    ] {
        let reply = caller.get(path).await;
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        let kind = reply.header("content-type").unwrap();
        if reply.body.to_string().contains("<script") {
            seen += 1;
            assert_eq!(kind, "application/json", "{path}");
        }
    }
    // otherwise the test looked at the wrong answers
    assert_eq!(seen, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_a_token_is_counted_under_its_name() {
    let place = Place::new();
    // a port that the kernel chose a moment ago: this listener's own is in no log
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = free.local_addr().unwrap();
    drop(free);
    let (_server, anyone, admin) = started_with(&place, |command| {
        command.env("METRICS_ADDR", metrics.to_string());
    })
    .await;
    let pair = anyone.sign_in(ADMIN, PASSWORD).await;
    let form = json!({"refresh_token": pair.text("refresh_token")});
    assert_eq!(anyone.post("/auth/refresh", form).await.status, 200);
    let form = json!({"name": "x"});
    assert_eq!(admin.post("/auth/tokens", form).await.status, 201);
    let mut command = place.command();
    usual(&mut command);
    let link = output(command.args(["sign-in-link", ADMIN]));
    let link = String::from_utf8(link.stdout).unwrap();
    let form = json!({"token": link.trim()});
    assert_eq!(
        anyone.post("/auth/magic/verify", form).await.status,
        200,
        "{link}"
    );
    let mut stream = std::net::TcpStream::connect(metrics).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let shown = ask(&mut stream, request).unwrap().body;
    for (kind, count) in [("session", 2), ("refresh", 1), ("personal", 1), ("link", 1)] {
        let line = format!("agnes_tokens_issued_total{{kind=\"{kind}\"}} {count}\n");
        assert!(shown.contains(&line), "{line}\n{shown}");
    }
}

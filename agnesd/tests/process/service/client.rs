//! A caller of the API, and a server with an administrator.

use std::process::Command;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Place, Server};

pub(super) const JWT_KEY: &str = "a-signing-key-for-tests-1f9d0c7e5b3a";
pub(super) const SCHEDULER: &str = "a-scheduler-secret-for-tests-77ab31c9";
pub(super) const ADMIN: &str = "admin@example.com";
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn text(&self, field: &str) -> String {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {self:?}"))
            .to_owned()
    }

    pub(super) fn items(&self) -> &[Value] {
        self.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {self:?}"))
    }
}

/// One caller.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    base: String,
    bearer: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Caller {
    pub(super) fn of(server: &Server) -> Self {
        Self {
            client: Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            base: format!("http://{}", server.http),
            bearer: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn bearing(&self, token: &str) -> Self {
        Self {
            bearer: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(super) fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name, value.to_owned()));
        caller
    }

    /// `None`: the server is gone, or went while it answered.
    pub(super) async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<Reply> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        Some(Reply {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.try_call(Method::GET, path, None).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.try_call(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Reply {
        self.try_call(Method::PUT, path, Some(body)).await.unwrap()
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.try_call(Method::PATCH, path, Some(body))
            .await
            .unwrap()
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.try_call(Method::DELETE, path, None).await.unwrap()
    }

    pub(super) async fn sign_in(&self, email: &str, password: &str) -> Reply {
        let form = json!({"email": email, "password": password});
        self.post("/auth/token", form).await
    }

    /// Signed in, or the test ends.
    pub(super) async fn signed_in(&self, email: &str, password: &str) -> Self {
        let reply = self.sign_in(email, password).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        self.bearing(&reply.text("access_token"))
    }

    /// Rows of the audit log with this action, newest first.
    pub(super) async fn audit(&self, action: &str) -> Vec<Value> {
        let reply = self
            .get(&format!("/api/audit?action={action}&limit=1000"))
            .await;
        reply.items().to_vec()
    }
}

/// What most servers here are started with: keys, and no limits in the way.
pub(super) fn usual(command: &mut Command) {
    command
        .env("JWT_SECRET_KEY", JWT_KEY)
        .env("SCHEDULER_API_TOKEN", SCHEDULER)
        .env("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0")
        .env("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "0");
}

/// A server with an administrator, and that administrator signed in.
pub(super) async fn started(place: &Place) -> (Server, Caller, Caller) {
    started_with(place, |_| {}).await
}

pub(super) async fn started_with(
    place: &Place,
    change: impl FnOnce(&mut Command),
) -> (Server, Caller, Caller) {
    let server = place.start_with(|command| {
        usual(command);
        change(command);
    });
    let anyone = Caller::of(&server);
    let form = json!({"email": ADMIN, "password": PASSWORD});
    let reply = anyone.post("/auth/bootstrap", form).await;
    assert_eq!(reply.status, StatusCode::CREATED.as_u16(), "{reply:?}");
    let admin = anyone.signed_in(ADMIN, PASSWORD).await;
    (server, anyone, admin)
}

/// A further person, signed in.
pub(super) async fn member(admin: &Caller, anyone: &Caller, email: &str) -> Caller {
    let form = json!({"email": email, "password": PASSWORD});
    let reply = admin.post("/api/users", form).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    anyone.signed_in(email, PASSWORD).await
}

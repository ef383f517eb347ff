//! A caller of a server's API, one call after the other.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

/// Who may do everything.
pub const ADMIN: &str = "admin@example.com";
/// Everybody's.
pub const PASSWORD: &str = "correct horse battery staple";

/// One caller.
#[derive(Debug, Clone)]
pub struct Caller {
    base: String,
    bearer: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON, or the text.
    pub body: Value,
}

impl Reply {
    /// Panics when the status is another.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// A text of the body.
    #[track_caller]
    pub fn text(&self, key: &str) -> String {
        let text = self.body[key].as_str();
        text.unwrap_or_else(|| panic!("no {key} in {}", self.body))
            .to_owned()
    }
}

impl Caller {
    /// Nobody yet.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            base: format!("http://{address}"),
            bearer: None,
            headers: Vec::new(),
        }
    }

    /// With this header on each call.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name, value.to_owned()));
        caller
    }

    /// With this credential.
    pub fn bearing(&self, credential: &str) -> Self {
        Self {
            bearer: Some(credential.to_owned()),
            ..self.clone()
        }
    }

    /// One call.
    pub fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, format!("{}{path}", self.base));
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Reply { status, body }
        })
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None)
    }

    /// `POST`.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, Some(body))
    }

    /// A sign-in by password.
    pub fn sign_in(&self, email: &str) -> Reply {
        self.post(
            "/auth/token",
            &json!({"email": email, "password": PASSWORD}),
        )
    }

    /// The same caller, signed in.
    #[track_caller]
    pub fn signed_in(&self, email: &str) -> Self {
        let reply = self.sign_in(email).is(200);
        self.bearing(&reply.text("access_token"))
    }

    /// The first administrator, signed in.
    #[track_caller]
    pub fn first_admin(&self) -> Self {
        let form = json!({"email": ADMIN, "password": PASSWORD});
        self.post("/auth/bootstrap", &form).is(201);
        self.signed_in(ADMIN)
    }
}

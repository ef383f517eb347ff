//! An OpenID provider of the tests: authorization code with PKCE as RFC 6749, RFC 7636 and OpenID Connect Core have it, one
//! person who is signed in already, and every way to answer wrongly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, rand};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

pub(super) const CLIENT: &str = "agnes";
pub(super) const SECRET: &str = "a-client-secret-for-tests-20c7";
pub(super) const ACCESS: &str = "an-access-token-for-tests-77f0";

type Fields = HashMap<String, String>;

/// What it says next.
#[derive(Clone)]
pub(super) struct Says {
    /// Merged over the claims of the id_token; null takes one out.
    pub(super) claims: Value,
    /// Signs with a key that is not in its document.
    pub(super) another_key: bool,
    /// `alg` none.
    pub(super) unsigned: bool,
    /// The group search answers with these pages, or this status.
    pub(super) groups: Result<Vec<Vec<String>>, u16>,
}

struct Code {
    nonce: String,
    challenge: String,
    redirect: String,
    scope: String,
}

struct Inner {
    base: String,
    keys: [KeyPair; 2],
    says: Mutex<Says>,
    codes: Mutex<HashMap<String, Code>>,
    searches: Mutex<Vec<String>>,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Issuer(Arc<Inner>);

impl Issuer {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let key = || KeyPair::generate(KeySize::Rsa2048).unwrap();
        let says = Says {
            claims: json!({}),
            another_key: false,
            unsigned: false,
            groups: Ok(Vec::new()),
        };
        let issuer = Self(Arc::new(Inner {
            base: format!("http://{address}"),
            keys: [key(), key()],
            says: Mutex::new(says),
            codes: Mutex::default(),
            searches: Mutex::default(),
        }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route(
                "/v1/groups/-/memberships:searchTransitiveGroups",
                get(search),
            )
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        issuer
    }

    pub(super) fn base(&self) -> &str {
        &self.0.base
    }

    pub(super) fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.0.says.lock().unwrap());
    }

    /// What the group search was asked.
    pub(super) fn searches(&self) -> Vec<String> {
        self.0.searches.lock().unwrap().clone()
    }

    fn id_token(&self, nonce: &str) -> String {
        let says = self.0.says.lock().unwrap().clone();
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut claims = json!({
            "iss": self.0.base, "sub": "subject-1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce,
            "email": "One@Example.com", "email_verified": true, "name": "One of us",
        });
        let over: Map<String, Value> = says.claims.as_object().unwrap().clone();
        for (name, value) in over {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(&name)),
                value => claims[name] = value,
            }
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = match says.unsigned {
            true => json!({"alg": "none"}),
            false => json!({"alg": "RS256", "kid": "one"}),
        };
        let said = format!("{}.{}", part(&header), part(&claims));
        if says.unsigned {
            return format!("{said}.");
        }
        let key = &self.0.keys[usize::from(says.another_key)];
        let mut signature = vec![0; key.public_modulus_len()];
        let random = rand::SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, said.as_bytes(), &mut signature)
            .unwrap();
        format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn document(State(Issuer(inner)): State<Issuer>) -> Json<Value> {
    let base = &inner.base;
    Json(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

async fn keys(State(Issuer(inner)): State<Issuer>) -> Json<Value> {
    let public: PublicKeyComponents<Vec<u8>> = inner.keys[0].public_key().into();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Json(json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one",
        "n": number(&public.n), "e": number(&public.e),
    }]}))
}

/// Whoever comes is signed in, and goes back.
async fn authorize(State(issuer): State<Issuer>, Query(asked): Query<Fields>) -> Response {
    let get = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let sound = get("response_type") == "code"
        && get("client_id") == CLIENT
        && get("code_challenge_method") == "S256"
        && get("scope").split(' ').any(|scope| scope == "openid")
        && !get("state").is_empty()
        && !get("nonce").is_empty();
    if !sound {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}")).into_response();
    }
    let mut codes = issuer.0.codes.lock().unwrap();
    let code = format!("code-{}", codes.len() + 1);
    let redirect = get("redirect_uri");
    codes.insert(
        code.clone(),
        Code {
            nonce: get("nonce"),
            challenge: get("code_challenge"),
            redirect: redirect.clone(),
            scope: get("scope"),
        },
    );
    Redirect::to(&format!("{redirect}?state={}&code={code}", get("state"))).into_response()
}

/// A code, once, by the client that it was given to, from who began.
async fn token(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    Form(form): Form<Fields>,
) -> Response {
    let basic = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    let authorized = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    if authorized != Some(format!("Basic {basic}")) {
        return (
            StatusCode::UNAUTHORIZED,
            Json(json!({"error": "invalid_client"})),
        )
            .into_response();
    }
    let get = |name: &str| form.get(name).cloned().unwrap_or_default();
    let code = issuer.0.codes.lock().unwrap().remove(&get("code"));
    let verifier = get("code_verifier");
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let good = code.filter(|code| {
        code.challenge == challenge
            && code.redirect == get("redirect_uri")
            && get("grant_type") == "authorization_code"
    });
    let Some(code) = good else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant"})),
        )
            .into_response();
    };
    Json(json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 300, "scope": code.scope,
        "id_token": issuer.id_token(&code.nonce),
    }))
    .into_response()
}

/// Cloud Identity's transitive search, as its reference has it.
async fn search(
    State(Issuer(inner)): State<Issuer>,
    headers: HeaderMap,
    Query(asked): Query<Fields>,
) -> Response {
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {ACCESS}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query = asked.get("query").cloned().unwrap_or_default();
    inner.searches.lock().unwrap().push(query.clone());
    if !query.contains("in labels") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let groups = inner.says.lock().unwrap().groups.clone();
    let pages = match groups {
        Ok(pages) => pages,
        Err(status) => {
            let error = json!({"error": {"code": status, "status": "PERMISSION_DENIED"}});
            return (StatusCode::from_u16(status).unwrap(), Json(error)).into_response();
        }
    };
    let at: usize = asked
        .get("pageToken")
        .map_or(0, |page| page.parse().unwrap());
    let memberships = pages.get(at).into_iter().flatten().map(|id| {
        json!({"group": format!("groups/{id}"), "groupKey": {"id": id}, "relationType": "DIRECT"})
    });
    let memberships: Vec<Value> = memberships.collect();
    let mut found = json!({ "memberships": memberships });
    if at + 1 < pages.len() {
        found["nextPageToken"] = json!((at + 1).to_string());
    }
    Json(found).into_response()
}

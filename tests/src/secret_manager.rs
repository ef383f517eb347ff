//! A double of Google Secret Manager's REST API, as documented: `GET /v1/projects/P/secrets/S/versions/V:access` and
//! `POST /v1/projects/P/secrets/S:addVersion`.
//!
//! Always true: payloads are base64 with `dataCrc32c` as a decimal string; errors have the service's status, body and
//! words. Loopback only; gone when dropped.
//!
//! Does not: check credentials (the request log shows what was sent), list or make secrets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::https_source::{Answer, HttpsSource, Request};

/// How the service behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As documented.
    Ok,
    /// 403 `PERMISSION_DENIED`.
    Forbidden,
    /// 401 `UNAUTHENTICATED`.
    Unauthenticated,
    /// 500 `INTERNAL`.
    Internal,
    /// 503 `UNAVAILABLE`.
    Unavailable,
    /// 500 as a bare HTML page of some proxy.
    HtmlError,
    /// 302 to elsewhere.
    Redirect,
    /// As documented, after a pause.
    Slow(Duration),
    /// Accepts and never answers.
    Never,
    /// `dataCrc32c` of other bytes.
    WrongChecksum,
    /// `data` that is not base64.
    BadBase64,
    /// An answer that ends in the middle of its JSON, though its length is right.
    CutJson,
    /// 400 `FAILED_PRECONDITION`: the version is in DISABLED state.
    Disabled,
    /// 400 `FAILED_PRECONDITION`: the version is in DESTROYED state.
    Destroyed,
}

struct State {
    mode: Mode,
    secrets: HashMap<String, Vec<Vec<u8>>>,
}

/// The double. It stops when dropped.
pub struct SecretManager {
    server: HttpsSource,
    state: Arc<Mutex<State>>,
}

impl SecretManager {
    /// Starts without secrets.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Ok,
            secrets: HashMap::new(),
        }));
        let answering = state.clone();
        let server = HttpsSource::start_plain(move |request| {
            answer(request, &mut answering.lock().unwrap())
        });
        Self { server, state }
    }

    /// The endpoint, for `AGNES_SM_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        self.server.url("")
    }

    /// Adds a version, which becomes `latest`; versions count from 1.
    pub fn add(&self, project: &str, secret: &str, value: impl Into<Vec<u8>>) {
        let mut state = self.state.lock().unwrap();
        state
            .secrets
            .entry(format!("projects/{project}/secrets/{secret}"))
            .or_default()
            .push(value.into());
    }

    /// Every version of a secret, oldest first.
    pub fn versions(&self, project: &str, secret: &str) -> Vec<Vec<u8>> {
        let state = self.state.lock().unwrap();
        let versions = state
            .secrets
            .get(&format!("projects/{project}/secrets/{secret}"));
        versions.cloned().unwrap_or_default()
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

fn answer(request: &Request, state: &mut State) -> Answer {
    let name = request.target.split('?').next().unwrap_or_default();
    let adding = name
        .strip_prefix("/v1/")
        .and_then(|n| n.strip_suffix(":addVersion"));
    if let (true, Some(secret)) = (request.method == "POST", adding) {
        return add(secret, &request.body, state);
    }
    let name = name
        .strip_prefix("/v1/")
        .and_then(|n| n.strip_suffix(":access"));
    let (true, Some(name)) = (request.method == "GET", name) else {
        return Answer::status(404);
    };
    match state.mode {
        Mode::Ok => access(name, state),
        Mode::Slow(pause) => Answer::Late(pause, Box::new(access(name, state))),
        Mode::Never => Answer::Never,
        Mode::Forbidden => error(
            403,
            "PERMISSION_DENIED",
            &format!(
                "Permission 'secretmanager.versions.access' denied for resource '{name}' (or it may not exist)."
            ),
        ),
        Mode::Unauthenticated => error(
            401,
            "UNAUTHENTICATED",
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or \
             other valid authentication credential.",
        ),
        Mode::Internal => error(500, "INTERNAL", "Internal error encountered."),
        Mode::Unavailable => error(503, "UNAVAILABLE", "The service is currently unavailable."),
        Mode::HtmlError => Answer::status(500),
        Mode::Redirect => Answer::with_header(302, "Location", "http://127.0.0.1:9/elsewhere"),
        Mode::WrongChecksum => payload(name, &openssl::base64::encode_block(b"value"), u32::MAX),
        Mode::BadBase64 => payload(name, "hunter2!*", 0),
        Mode::CutJson => Answer::ok(r#"{"name":"x","payload":{"data":"aHVudGVyMg=="#),
        Mode::Disabled => precondition(name, "DISABLED"),
        Mode::Destroyed => precondition(name, "DESTROYED"),
    }
}

fn add(secret: &str, body: &[u8], state: &mut State) -> Answer {
    if state.mode == Mode::Forbidden {
        let denied = format!(
            "Permission 'secretmanager.versions.add' denied for resource '{secret}' (or it may not exist)."
        );
        return error(403, "PERMISSION_DENIED", &denied);
    }
    let Some(versions) = state.secrets.get_mut(secret) else {
        return error(404, "NOT_FOUND", &format!("Secret [{secret}] not found."));
    };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let data = body["payload"]["data"].as_str().unwrap_or_default();
    let Ok(value) = openssl::base64::decode_block(data) else {
        return error(400, "INVALID_ARGUMENT", "Invalid value at 'payload.data'.");
    };
    let sent = body["payload"]["dataCrc32c"].as_str().map(str::to_owned);
    if sent.is_some_and(|sent| sent != crc32c(&value).to_string()) {
        let why = "The checksum field specified does not match the payload.";
        return error(400, "INVALID_ARGUMENT", why);
    }
    versions.push(value);
    let name = format!("{secret}/versions/{}", versions.len());
    json_answer(200, &json!({ "name": name, "state": "ENABLED" }))
}

fn access(name: &str, state: &State) -> Answer {
    let (secret, version) = name.split_once("/versions/").unwrap_or_default();
    let Some(versions) = state.secrets.get(secret) else {
        return error(
            404,
            "NOT_FOUND",
            &format!("Secret [{secret}] not found or has no versions."),
        );
    };
    let number = if version == "latest" {
        versions.len()
    } else {
        version.parse().unwrap_or(0)
    };
    match number.checked_sub(1).and_then(|i| versions.get(i)) {
        Some(value) => payload(
            &format!("{secret}/versions/{number}"),
            &openssl::base64::encode_block(value),
            crc32c(value),
        ),
        None => error(
            404,
            "NOT_FOUND",
            &format!("Secret Version [{name}] not found."),
        ),
    }
}

fn payload(name: &str, data: &str, checksum: u32) -> Answer {
    let body =
        json!({ "name": name, "payload": { "data": data, "dataCrc32c": checksum.to_string() } });
    json_answer(200, &body)
}

fn precondition(name: &str, state: &str) -> Answer {
    error(
        400,
        "FAILED_PRECONDITION",
        &format!("Secret Version [{name}] is in {state} state."),
    )
}

fn error(code: u16, status: &str, message: &str) -> Answer {
    json_answer(
        code,
        &json!({ "error": { "code": code, "message": message, "status": status } }),
    )
}

fn json_answer(code: u16, body: &serde_json::Value) -> Answer {
    let headers = vec![(
        "Content-Type".to_owned(),
        "application/json; charset=UTF-8".to_owned(),
    )];
    Answer::Status {
        code,
        headers,
        body: body.to_string().into_bytes(),
    }
}

/// CRC-32C (Castagnoli) bit by bit: slow, and independent of the product's.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0x82F6_3B78
            } else {
                crc >> 1
            }
        })
    })
}

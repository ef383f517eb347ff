//! Is the process up, and does it want work.
//!
//! Always true: *live* never depends on anything but the process answering; *ready* is 503 as soon as there is a reason.
//!
//! Does not: require a credential, reveal more than a word.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::App;
use crate::error::Problem;

/// `{"status": "..."}`.
#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// `GET /api/health`: what an uptime check asks.
pub(crate) async fn health() -> Response {
    say("ok")
}

/// `GET /healthz`: live.
pub(crate) async fn live() -> Response {
    say("live")
}

/// `GET /readyz`: 200, or 503 with every reason.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.not_ready_reasons();
    if reasons.is_empty() {
        say("ready")
    } else {
        Problem::not_ready(reasons).into_response()
    }
}

/// A probe's answer is about now: no cache may repeat it.
fn say(status: &'static str) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(Status { status })).into_response()
}

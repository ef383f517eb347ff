//! Is the process up, and does it want work.
//!
//! Always true: *live* never depends on anything but the process answering; *ready* is 503 as soon as there is a reason (W01).
//!
//! Does not: require a credential, reveal more than a word. (The detailed answer is in `routes/detailed.rs`.)

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::Problem;

/// A probe's answer.
#[derive(Serialize, ToSchema)]
#[schema(as = ProbeStatus)]
pub(crate) struct Status {
    /// `ok`, `live` or `ready`.
    #[schema(value_type = String)]
    status: &'static str,
    /// `held`: reads go on, writes wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    writes: Option<&'static str>,
}

/// What an uptime check asks.
#[utoipa::path(get, path = "/api/health", responses((status = 200, body = Status)))]
pub(crate) async fn health() -> Response {
    say("ok", None)
}

/// Live: the process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Status)))]
pub(crate) async fn live() -> Response {
    say("live", None)
}

/// Ready: 200, or 503 with every reason.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Status), (status = 503, body = Problem)))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.not_ready_reasons().await;
    if reasons.is_empty() {
        say("ready", app.store.held().map(|_| "held"))
    } else {
        Problem::not_ready(reasons).into_response()
    }
}

/// A probe's answer is about now: no cache may repeat it.
fn say(status: &'static str, writes: Option<&'static str>) -> Response {
    (
        [(CACHE_CONTROL, "no-store")],
        Json(Status { status, writes }),
    )
        .into_response()
}

//! How often one caller may call in a minute.
//!
//! Always true: a principal is counted under its own id wherever it calls from, everybody else by address, a refused
//! credential too; probes are never limited, or a flood could make a sound server look ill.
//!
//! Does not: count (`limits` does).

use std::time::Instant;

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::error::Problem;
use crate::limits::Key;

/// What is never limited.
const EXEMPT: [&str; 4] = ["/api/health", "/api/health/detailed", "/healthz", "/readyz"];

/// Whether calls of this path are not counted.
pub(crate) fn is_never_limited(path: &str) -> bool {
    EXEMPT.contains(&path)
}

/// Counts a call; `Some`: it is one too many.
pub(super) fn refuse(
    app: &App,
    path: &str,
    caller: &Caller,
    address: Option<ClientAddress>,
) -> Option<Response> {
    if is_never_limited(path) {
        return None;
    }
    let key = match (caller.principal(), address) {
        (Some(principal), _) => Key::Principal(principal.user.id),
        (None, Some(address)) => Key::address(address.0),
        // the server's own jobs come from nowhere
        (None, None) => return None,
    };
    let kind = key.kind();
    let limited = app.limits.check(key, Instant::now()).err()?;
    app.metrics.rate_limited(kind);
    let problem = Problem::too_many("too many calls in a minute", limited.retry_after_secs);
    let mut response = problem.into_response();
    let limit = HeaderValue::from(limited.limit);
    response.headers_mut().insert("x-ratelimit-limit", limit);
    Some(response)
}

//! How often one caller may call in a minute.
//!
//! Always true: a principal is counted under its own id wherever it calls from, everybody else by address, a refused
//! credential too; probes are never limited, or a flood could make a sound server look ill.
//!
//! Does not: count (`limits` does).

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::error::Problem;
use crate::limits::Key;

/// What is never limited.
const EXEMPT: [&str; 4] = ["/api/health", "/api/health/detailed", "/healthz", "/readyz"];

pub(super) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if EXEMPT.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let principal = request
        .extensions()
        .get::<Caller>()
        .and_then(Caller::principal);
    let key = match (principal, request.extensions().get::<ClientAddress>()) {
        (Some(principal), _) => Key::Principal(principal.user.id.to_string().into()),
        (None, Some(address)) => Key::address(address.0),
        // the server's own jobs come from nowhere
        (None, None) => return next.run(request).await,
    };
    let kind = key.kind();
    match app.limits.check(key, Instant::now()) {
        Ok(_) => next.run(request).await,
        Err(limited) => {
            app.metrics.rate_limited(kind);
            let secs = limited.retry_after_secs;
            let mut response =
                Problem::too_many("too many calls in a minute", secs).into_response();
            response
                .headers_mut()
                .insert("x-ratelimit-limit", HeaderValue::from(limited.limit));
            response
        }
    }
}

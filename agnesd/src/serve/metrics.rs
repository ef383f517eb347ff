//! The address where Prometheus asks (`METRICS_ADDR`).
//!
//! Always true: it answers `GET /metrics` and nothing else; it has a small share of connections of its own, so that neither
//! side's clients can crowd out the other's. An address that somebody set is served or the server does not start; the
//! default one is given up with a warning when another program has it.
//!
//! Does not: ask for a credential: the default is loopback, and an operator who opens it further says so in the settings.

use std::sync::Arc;
use std::time::Duration;

use agnes_config::MetricsListen;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use super::listen::Listener;
use super::{Failed, bind};
use crate::connection::Limits;
use crate::error::Problem;
use crate::metrics::{self, Metrics};

/// A few scrapers and a person with curl.
const LIMITS: Limits = Limits {
    connections: 16,
    handshake: Duration::from_secs(5),
    head: Duration::from_secs(30),
    send: Duration::from_secs(10),
};

/// Binds the address; `None` when it is off, or the default and cannot be had.
///
/// # Errors
/// [`Failed`] when it was set and cannot be had.
pub(super) async fn listen(wanted: MetricsListen) -> Result<Option<Listener>, Failed> {
    let address = match wanted {
        MetricsListen::Off => return Ok(None),
        MetricsListen::Default(address) | MetricsListen::At(address) => address,
    };
    match bind("METRICS_ADDR", address, None).await {
        Ok(listener) => Ok(Some(Listener {
            serves: "metrics",
            limits: LIMITS,
            ..listener
        })),
        Err(failed) if matches!(wanted, MetricsListen::At(_)) => Err(failed),
        Err(_) => {
            tracing::warn!(
                "no metrics: METRICS_ADDR is not set and its default {address} cannot be listened on; set it, or set it to nothing"
            );
            Ok(None)
        }
    }
}

/// What is served there.
pub(super) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(metrics)
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, metrics::CONTENT_TYPE),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics.render())
}

async fn nothing() -> Problem {
    Problem::no_such_route()
}

#[cfg(test)]
mod tests;

//! Every address of the product, in one file, grouped by audience.
//!
//! Always true: what is not listed here is 404, a wrong method is 405, both as problem documents.
//!
//! Does not: answer anything itself.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::routes::{health, unknown, version};

/// The whole API over one [`App`].
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        // anyone
        .route("/api/health", get(health::health))
        .route("/api/version", get(version::version))
        // probes
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(unknown::route)
        .method_not_allowed_fallback(unknown::method)
        .with_state(app)
}

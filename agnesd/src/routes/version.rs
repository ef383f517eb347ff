//! Which build answers.
//!
//! Always true: the same version and commit as `agnesd --version` prints.
//!
//! Does not: change while the process runs.

use axum::Json;
use serde::Serialize;

use crate::app::{COMMIT, VERSION};

/// The body of `GET /api/version`.
#[derive(Serialize)]
pub(crate) struct Version {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
}

/// `GET /api/version`.
pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: VERSION,
        commit: COMMIT,
    })
}

//! Which build answers.
//!
//! Always true: the same version and commit as `agnesd --version` prints.
//!
//! Does not: change while the process runs.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{COMMIT, VERSION};

/// The body of `GET /api/version`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    /// As `agnesd --version` says.
    #[schema(value_type = String)]
    version: &'static str,
    /// If the build knew it.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
}

/// Which build answers.
#[utoipa::path(get, path = "/api/version", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: VERSION,
        commit: COMMIT,
    })
}

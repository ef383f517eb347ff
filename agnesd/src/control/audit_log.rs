//! Whether the audit log is the one that was written.
//!
//! Always true: every row is hashed again, in one transaction of a reader; writes go on meanwhile.
//!
//! Does not: repair, or read pages (`routes::audit` does).

use std::sync::Arc;

use agnes_store::audit::verify::Report;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Answer;

/// `POST /v1/audit/verify`: what there is and what is wrong with it, as `agnesd audit verify` has it.
pub(super) async fn verify(State(app): State<Arc<App>>) -> Answer<Json<Report>> {
    Ok(Json(app.store.verify_audit().await?))
}

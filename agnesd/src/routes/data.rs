//! Files: what there is, and removing one. Bringing and fetching are in the files below.
//!
//! Always true: an id is checked before anything is looked up by it; what is no id is 404, as one that names nothing.
//!
//! Does not: know where files lie.

use std::sync::Arc;

use agnes_store::audit::Event;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::List;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::files::{DELETED, DataId, Refused, Stored};
use crate::request::Asker;

mod content;
pub(crate) mod download;
mod form;
mod range;
pub(crate) mod upload;

/// A file.
#[derive(Serialize, ToSchema)]
#[schema(as = File)]
pub(crate) struct Shown {
    /// What it is called in addresses.
    id: String,
    /// The same.
    name: String,
    size_bytes: u64,
    /// Of its content, in hexadecimal digits; in quotes it is the `ETag` of a download.
    sha256: String,
    /// When this content was published.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl From<&Stored> for Shown {
    fn from(stored: &Stored) -> Self {
        Self {
            id: stored.name.id.to_string(),
            name: stored.name.id.to_string(),
            size_bytes: stored.bytes,
            sha256: stored.name.sha256.clone(),
            created_at: stored.at(),
        }
    }
}

/// An id in an address: bytes that are no text name nothing either.
fn id(path: Result<Path<String>, PathRejection>) -> Answer<DataId> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    text.parse().map_err(|_| Problem::from(Refused::Missing))
}

/// The row about `stored`.
fn event(action: &'static str, stored: &Stored) -> Event {
    Event::done(action, format!("data:{}", stored.name.id))
        .with("version", stored.name.version_digits())
        .with("sha256", stored.name.sha256.clone())
        .with("size_bytes", stored.bytes)
}

/// Files by id.
#[utoipa::path(get, path = "/api/data", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    let files = app.files.list();
    Json(List::whole(
        files.iter().map(|file| (&**file).into()).collect(),
    ))
}

/// Removes a file. Who is fetching it gets it whole.
#[utoipa::path(delete, path = "/api/data/{id}", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem),
))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    asker: Asker,
    path: Result<Path<String>, PathRejection>,
) -> Answer<StatusCode> {
    let id = id(path)?;
    // to its end, also when the caller goes away
    let removed = tokio::spawn(async move {
        let tell = |stored: &Stored| app.store.record_act(asker.origin, event(DELETED, stored));
        app.files.remove(&id, tell).await
    });
    removed
        .await
        .map_err(|crash| Problem::internal(&format!("files: remove: {crash}")))??;
    Ok(StatusCode::NO_CONTENT)
}

//! Which outside group means which internal role, for administrators.
//!
//! Always true: a mapping names a role that exists.
//!
//! Does not: know who is in an outside group.

use std::sync::Arc;

use agnes_store::Id;
use agnes_store::groups::Mapping;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::List;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// A mapping that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewGroupMapping)]
pub(crate) struct Wanted {
    /// The outside group's id.
    external_id: String,
    /// The internal role's name.
    role: String,
}

/// Off or on.
#[derive(Deserialize, ToSchema)]
#[schema(as = GroupMappingChange)]
pub(crate) struct Change {
    /// A disabled mapping gives nothing.
    disabled: bool,
}

/// A mapping as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = GroupMapping)]
pub(crate) struct Shown {
    /// Its name.
    #[schema(value_type = String)]
    id: Id,
    /// The outside group's id.
    external_id: String,
    /// The internal role's name.
    role: String,
    /// Gives nothing.
    disabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl From<&Mapping> for Shown {
    fn from(mapping: &Mapping) -> Self {
        Self {
            id: mapping.id,
            external_id: mapping.external_id.clone(),
            role: mapping.role.clone(),
            disabled: mapping.disabled,
            created_at: mapping.created_at,
        }
    }
}

/// Mappings, oldest first.
#[utoipa::path(get, path = "/api/group-mappings", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    let mappings = app.store.directory().all_mappings();
    let shown = mappings.iter().map(|mapping| (&**mapping).into());
    Json(List::whole(shown.collect()))
}

/// Maps an outside group to an internal role.
#[utoipa::path(post, path = "/api/group-mappings", request_body = Wanted, responses(
    (status = 201, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Answer<Response> {
    let mapping = app
        .store
        .create_mapping(asker.origin, &wanted.external_id, &wanted.role)
        .await?;
    Ok((StatusCode::CREATED, Json(Shown::from(&*mapping))).into_response())
}

/// Disables or enables a mapping.
#[utoipa::path(patch, path = "/api/group-mappings/{id}", params(("id" = String, Path)), request_body = Change, responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(mapping): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Shown>> {
    let id = super::id(&mapping, "there is no such group mapping")?;
    let mapping = app
        .store
        .set_mapping_disabled(asker.origin, id, change.disabled)
        .await?;
    Ok(Json(Shown::from(&*mapping)))
}

/// Disables a mapping.
#[utoipa::path(post, path = "/api/group-mappings/{id}/disable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn disable(
    state: State<Arc<App>>,
    asker: Asker,
    mapping: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, mapping, Body(Change { disabled: true })).await
}

/// Enables a mapping.
#[utoipa::path(post, path = "/api/group-mappings/{id}/enable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn enable(
    state: State<Arc<App>>,
    asker: Asker,
    mapping: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, mapping, Body(Change { disabled: false })).await
}

/// Disables a mapping: none is deleted.
#[utoipa::path(delete, path = "/api/group-mappings/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn remove(
    state: State<Arc<App>>,
    asker: Asker,
    path: Path<String>,
) -> Answer<Json<Shown>> {
    disable(state, asker, path).await
}

//! Internal roles, for administrators.
//!
//! Always true: roles that the server asks for are registered by it; others are for what stands behind the API.
//!
//! Does not: give a role to anybody: a mapping of an outside group does.

use std::sync::Arc;

use agnes_store::groups::Role;
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

/// A role that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewRole)]
pub(crate) struct Wanted {
    /// `lower_snake_case`.
    name: String,
    /// For people.
    #[serde(default)]
    description: String,
}

/// Off or on.
#[derive(Deserialize, ToSchema)]
#[schema(as = RoleChange)]
pub(crate) struct Change {
    /// A disabled role gives nothing.
    disabled: bool,
}

/// A role as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct Shown {
    /// Its name.
    name: String,
    /// For people.
    description: String,
    /// `code`: the server asks for it; `api`: somebody made it.
    registered_by: String,
    /// Gives nothing.
    disabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl From<&Role> for Shown {
    fn from(role: &Role) -> Self {
        Self {
            name: role.name.clone(),
            description: role.description.clone(),
            registered_by: role.registered_by.clone(),
            disabled: role.disabled,
            created_at: role.created_at,
        }
    }
}

/// Roles by name.
#[utoipa::path(get, path = "/api/roles", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    let roles = app.store.directory().all_roles();
    Json(List::whole(
        roles.iter().map(|role| (&**role).into()).collect(),
    ))
}

/// Makes a role.
#[utoipa::path(post, path = "/api/roles", request_body = Wanted, responses(
    (status = 201, body = Shown), (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Answer<Response> {
    let role = app
        .store
        .create_role(asker.origin, &wanted.name, &wanted.description)
        .await?;
    Ok((StatusCode::CREATED, Json(Shown::from(&*role))).into_response())
}

/// Disables or enables a role.
#[utoipa::path(patch, path = "/api/roles/{name}", params(("name" = String, Path)), request_body = Change, responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(role): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Shown>> {
    let role = app
        .store
        .set_role_disabled(asker.origin, &role, change.disabled)
        .await?;
    Ok(Json(Shown::from(&*role)))
}

/// Disables a role.
#[utoipa::path(post, path = "/api/roles/{name}/disable", params(("name" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn disable(
    state: State<Arc<App>>,
    asker: Asker,
    role: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, role, Body(Change { disabled: true })).await
}

/// Enables a role.
#[utoipa::path(post, path = "/api/roles/{name}/enable", params(("name" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn enable(
    state: State<Arc<App>>,
    asker: Asker,
    role: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, role, Body(Change { disabled: false })).await
}

/// Disables a role: none is deleted.
#[utoipa::path(delete, path = "/api/roles/{name}", params(("name" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn remove(
    state: State<Arc<App>>,
    asker: Asker,
    path: Path<String>,
) -> Answer<Json<Shown>> {
    disable(state, asker, path).await
}

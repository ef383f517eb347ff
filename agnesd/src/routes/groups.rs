//! Groups and their members, for administrators.
//!
//! Always true: the group Admin stays, and somebody who can sign in stays in it (A09).
//!
//! Does not: ask an outside directory.

use std::sync::Arc;

use agnes_store::groups::Group;
use agnes_store::{Directory, Id};
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

/// A group that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewGroup)]
pub(crate) struct Wanted {
    /// Unique.
    name: String,
    /// The outside directory's group that it stands for.
    external_id: Option<String>,
}

/// Off or on.
#[derive(Deserialize, ToSchema)]
#[schema(as = GroupChange)]
pub(crate) struct Change {
    /// A disabled group gives nothing to its members.
    disabled: bool,
}

/// A group as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct Shown {
    /// Its name for programs.
    #[schema(value_type = String)]
    id: Id,
    /// Its name for people.
    name: String,
    /// The outside directory's group that it stands for.
    external_id: Option<String>,
    /// Part of the server; stays.
    built_in: bool,
    /// Gives nothing to its members.
    disabled: bool,
    /// How many members it has.
    members: usize,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl Shown {
    fn of(directory: &Directory, group: &Group) -> Self {
        Self {
            id: group.id,
            name: group.name.clone(),
            external_id: group.external_id.clone(),
            built_in: group.built_in,
            disabled: group.disabled,
            members: directory.members(group.id).len(),
            created_at: group.created_at,
        }
    }
}

/// A member of a group.
#[derive(Serialize, ToSchema)]
pub(crate) struct Member {
    /// The user's id.
    #[schema(value_type = String)]
    id: Id,
    /// Its address.
    email: String,
    /// May not call.
    disabled: bool,
}

/// Who is to be a member: one of the two.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Joining {
    /// The user's id.
    user_id: Option<String>,
    /// Its address.
    email: Option<String>,
}

/// Groups, oldest first.
#[utoipa::path(get, path = "/api/groups", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    let directory = app.store.directory();
    let groups = directory.all_groups();
    let shown = groups.iter().map(|group| Shown::of(&directory, group));
    Json(List::whole(shown.collect()))
}

/// Makes a group.
#[utoipa::path(post, path = "/api/groups", request_body = Wanted, responses(
    (status = 201, body = Shown), (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Answer<Response> {
    let external_id = wanted.external_id.as_deref();
    let group = app
        .store
        .create_group(asker.origin, &wanted.name, external_id)
        .await?;
    let shown = Shown::of(&app.store.directory(), &group);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// One group.
#[utoipa::path(get, path = "/api/groups/{id}", params(("id" = String, Path, description = "id or name")), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
) -> Answer<Json<Shown>> {
    let directory = app.store.directory();
    let group = directory
        .group(&group)
        .ok_or_else(|| Problem::not_found("there is no such group"))?;
    Ok(Json(Shown::of(&directory, group)))
}

/// Disables or enables a group.
#[utoipa::path(patch, path = "/api/groups/{id}", params(("id" = String, Path)), request_body = Change, responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(group): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Shown>> {
    let group = app
        .store
        .set_group_disabled(asker.origin, &group, change.disabled)
        .await?;
    Ok(Json(Shown::of(&app.store.directory(), &group)))
}

/// Disables a group.
#[utoipa::path(post, path = "/api/groups/{id}/disable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn disable(
    state: State<Arc<App>>,
    asker: Asker,
    group: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, group, Body(Change { disabled: true })).await
}

/// Enables a group.
#[utoipa::path(post, path = "/api/groups/{id}/enable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn enable(
    state: State<Arc<App>>,
    asker: Asker,
    group: Path<String>,
) -> Answer<Json<Shown>> {
    change(state, asker, group, Body(Change { disabled: false })).await
}

/// The members of a group.
#[utoipa::path(get, path = "/api/groups/{id}/members", params(("id" = String, Path)), responses(
    (status = 200, body = List<Member>), (status = 404, body = Problem),
))]
pub(crate) async fn members(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
) -> Answer<Json<List<Member>>> {
    let directory = app.store.directory();
    let group = directory
        .group(&group)
        .ok_or_else(|| Problem::not_found("there is no such group"))?;
    let members = directory.members(group.id);
    let members = members.iter().filter_map(|id| directory.user(*id));
    let members = members.map(|user| Member {
        id: user.id,
        email: user.email.clone(),
        disabled: user.disabled,
    });
    Ok(Json(List::whole(members.collect())))
}

/// Puts a user into a group.
#[utoipa::path(post, path = "/api/groups/{id}/members", params(("id" = String, Path)), request_body = Joining, responses(
    (status = 204), (status = 404, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn add_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(group): Path<String>,
    Body(joining): Body<Joining>,
) -> Answer<StatusCode> {
    let directory = app.store.directory();
    let user = match (&joining.user_id, &joining.email) {
        (Some(named), None) | (None, Some(named)) => super::user(&directory, named)?,
        _ => return Err(Problem::unprocessable("give either user_id or email")),
    };
    app.store.add_member(asker.origin, &group, user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a group.
#[utoipa::path(delete, path = "/api/groups/{id}/members/{user}", params(("id" = String, Path), ("user" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn remove_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path((group, user)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let directory = app.store.directory();
    let user = super::user(&directory, &user)?;
    app.store
        .remove_member(asker.origin, &group, user.id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disables a group: none is deleted.
#[utoipa::path(delete, path = "/api/groups/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn remove(
    state: State<Arc<App>>,
    asker: Asker,
    path: Path<String>,
) -> Answer<Json<Shown>> {
    disable(state, asker, path).await
}

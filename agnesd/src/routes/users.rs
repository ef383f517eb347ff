//! Users, for administrators.
//!
//! Always true: nobody is deleted: `DELETE` disables, for the audit log names people.
//!
//! Does not: show password hashes.

use std::sync::Arc;

use agnes_store::users::{Kind, NewUser, User};
use agnes_store::{Directory, Id};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{List, Page};
use crate::app::App;
use crate::auth::passwords;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body, Params};

/// A user that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
pub(crate) struct Wanted {
    /// E-mail address.
    email: String,
    /// May be left out.
    #[serde(default)]
    name: String,
    /// 12 to 128 characters; without it the user cannot sign in by password.
    password: Option<String>,
    /// Ids or names of groups.
    #[serde(default)]
    groups: Vec<String>,
}

/// What may be changed of a user.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = UserChange)]
// a slip in a name must not look like a change
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Another address; links that were mailed to the old one end.
    email: Option<String>,
    /// Disabling ends sessions and revokes tokens at once.
    disabled: Option<bool>,
    /// Ends the user's sessions.
    password: Option<String>,
}

/// A user as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct Shown {
    /// Its name for programs.
    #[schema(value_type = String)]
    id: Id,
    /// Its address.
    email: String,
    /// Its name for people.
    name: String,
    /// `person` or `system`.
    #[schema(value_type = String)]
    kind: Kind,
    /// A member of the group Admin.
    admin: bool,
    /// May not call.
    disabled: bool,
    /// There is a password or an OpenID provider that knows it, and the user is not disabled.
    can_sign_in: bool,
    /// Names of its groups.
    groups: Vec<String>,
    /// Its internal roles.
    roles: Vec<String>,
    /// Issuers of OpenID providers that know it.
    issuers: Vec<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl Shown {
    pub(crate) fn of(directory: &Directory, user: &User) -> Self {
        let mut groups: Vec<String> = directory
            .groups_of(user.id)
            .map(|group| group.name.clone())
            .collect();
        groups.sort_unstable();
        Self {
            id: user.id,
            email: user.email.clone(),
            name: user.name.clone(),
            kind: user.kind,
            admin: directory.is_admin(user.id),
            disabled: user.disabled,
            can_sign_in: directory.can_sign_in(user),
            groups,
            roles: directory.roles_of(user.id),
            issuers: directory
                .identities_of(user.id)
                .into_iter()
                .map(|who| who.issuer)
                .collect(),
            created_at: user.created_at,
        }
    }
}

/// Users, oldest first.
#[utoipa::path(get, path = "/api/users", params(("cursor" = Option<String>, Query), ("limit" = Option<u16>, Query)),
    responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Params(page): Params<Page>,
) -> Answer<Json<List<Shown>>> {
    let limit = page.limit()?;
    let after = match &page.cursor {
        None => None,
        Some(cursor) => Some(
            cursor
                .parse::<Id>()
                .map_err(|_| Problem::bad_request("cursor is not one that was given"))?,
        ),
    };
    let directory = app.store.directory();
    let users = directory.all_users();
    let from = after.map_or(0, |after| users.partition_point(|user| user.id <= after));
    let rest = users.get(from..).unwrap_or_default();
    let shown = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let more = shown.len() < rest.len();
    Ok(Json(List {
        items: shown
            .iter()
            .map(|user| Shown::of(&directory, user))
            .collect(),
        next_cursor: shown
            .last()
            .filter(|_| more)
            .map(|user| user.id.to_string()),
    }))
}

/// Makes a user.
#[utoipa::path(post, path = "/api/users", request_body = Wanted, responses(
    (status = 201, body = Shown), (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Answer<Response> {
    let password_hash = match wanted.password {
        None => None,
        Some(password) => {
            passwords::check(&password)?;
            Some(app.passwords.hash(password).await?)
        }
    };
    let new = NewUser {
        email: wanted.email,
        name: wanted.name,
        password_hash,
        groups: wanted.groups,
    };
    let user = app.store.create_user(asker.origin, new).await?;
    let shown = Shown::of(&app.store.directory(), &user);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// One user.
#[utoipa::path(get, path = "/api/users/{id}", params(("id" = String, Path, description = "id or address")), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
) -> Answer<Json<Shown>> {
    let directory = app.store.directory();
    let user = super::user(&directory, &user)?;
    Ok(Json(Shown::of(&directory, user)))
}

/// Disables or enables a user, or gives it another address or password.
#[utoipa::path(patch, path = "/api/users/{id}", params(("id" = String, Path)), request_body = Change, responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(user): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Shown>> {
    let id = super::user(&app.store.directory(), &user)?.id;
    if let Some(password) = &change.password {
        passwords::check(password)?;
    }
    // first what may be refused
    if let Some(disabled) = change.disabled {
        app.store
            .set_user_disabled(asker.origin.clone(), id, disabled)
            .await?;
    }
    if let Some(email) = change.email {
        app.store
            .set_email(asker.origin.clone(), id, &email)
            .await?;
    }
    if let Some(password) = change.password {
        let hash = app.passwords.hash(password).await?;
        app.store.set_password(asker.origin, id, hash).await?;
    }
    let directory = app.store.directory();
    let user = super::user(&directory, &id.to_string())?;
    Ok(Json(Shown::of(&directory, user)))
}

/// Disables a user: its sessions and tokens end at once.
#[utoipa::path(post, path = "/api/users/{id}/disable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn disable(
    state: State<Arc<App>>,
    asker: Asker,
    user: Path<String>,
) -> Answer<Json<Shown>> {
    let change_ = Change {
        disabled: Some(true),
        ..Change::default()
    };
    change(state, asker, user, Body(change_)).await
}

/// Enables a user again; what disabling ended stays ended.
#[utoipa::path(post, path = "/api/users/{id}/enable", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn enable(
    state: State<Arc<App>>,
    asker: Asker,
    user: Path<String>,
) -> Answer<Json<Shown>> {
    let change_ = Change {
        disabled: Some(false),
        ..Change::default()
    };
    change(state, asker, user, Body(change_)).await
}

/// Forgets whom OpenID providers know a user as: the next sign-in with its address connects it anew.
#[utoipa::path(delete, path = "/api/users/{id}/identities", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn forget_identities(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(user): Path<String>,
) -> Answer<Json<Shown>> {
    let id = super::user(&app.store.directory(), &user)?.id;
    let user = app.store.forget_identities(asker.origin, id).await?;
    Ok(Json(Shown::of(&app.store.directory(), &user)))
}

/// Disables a user: nobody is deleted.
#[utoipa::path(delete, path = "/api/users/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub(crate) async fn remove(
    state: State<Arc<App>>,
    asker: Asker,
    path: Path<String>,
) -> Answer<Json<Shown>> {
    disable(state, asker, path).await
}

//! One's own account.
//!
//! Always true: a changed password ends every session and access token of its owner.
//!
//! Does not: show what others may see of it.

use std::sync::Arc;

use agnes_store::sessions::Method;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::{Credential, Principal, passwords};
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// Who calls, as the server sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// The user's id.
    #[schema(value_type = String)]
    id: agnes_store::Id,
    /// Its address.
    email: String,
    /// Its name.
    name: String,
    /// A member of the group Admin.
    admin: bool,
    /// Internal roles.
    roles: Vec<String>,
    /// `session`, `personal` or `scheduler`.
    #[schema(value_type = String)]
    credential: &'static str,
    /// How the session began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    method: Option<Method>,
    /// Of a personal token: `read`, `write`, `admin`; empty: all that the owner may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
}

/// Who calls.
#[utoipa::path(get, path = "/api/me", responses((status = 200, body = Me), (status = 401, body = Problem)))]
pub(crate) async fn me(State(app): State<Arc<App>>, principal: Principal) -> Json<Me> {
    let user = &principal.user;
    Json(Me {
        id: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        admin: principal.admin,
        roles: app.store.directory().roles_of(user.id),
        credential: principal.kind(),
        method: match principal.credential {
            Credential::Session(_, method) => Some(method),
            _ => None,
        },
        scopes: match &principal.credential {
            Credential::Personal(token) => Some(token.scopes.clone()),
            _ => None,
        },
    })
}

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordChange {
    /// As it is.
    current_password: String,
    /// 12 to 128 characters.
    new_password: String,
}

/// Changes one's own password and ends all sessions.
#[utoipa::path(post, path = "/auth/password", request_body = PasswordChange, responses(
    (status = 204), (status = 401, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(change): Body<PasswordChange>,
) -> Answer<StatusCode> {
    let user = Arc::clone(&asker.principal()?.user);
    passwords::check(&change.new_password)?;
    let place = app.passwords.place().await?;
    let now = Instant::now();
    app.throttle.check(&user.email, now).map_err(|wait| {
        Problem::too_many(
            "too many wrong passwords for this account",
            wait.as_secs() + 1,
        )
    })?;
    let right = place
        .verify(change.current_password, user.password_hash.clone())
        .await?;
    if !right {
        app.throttle.count(&user.email, now);
        app.store
            .refused(&asker.origin, "password", &format!("user:{}", user.email));
        return Err(Problem::wrong_credentials());
    }
    drop(place);
    let hash = app.passwords.hash(change.new_password).await?;
    app.store.set_password(asker.origin, user.id, hash).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! The first administrator.
//!
//! Always true: open only until a person who is admin can sign in (A04); the check and the act are one transaction.
//!
//! Does not: sign anybody in: the new administrator does, with the password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::passwords;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// Who is to be the first administrator.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Bootstrap {
    /// E-mail address.
    email: String,
    /// 12 to 128 characters.
    password: String,
    /// `AGNES_BOOTSTRAP_TOKEN`, where that is set.
    bootstrap_token: Option<String>,
}

/// The first administrator.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bootstrapped {
    /// The user's id.
    #[schema(value_type = String)]
    id: agnes_store::Id,
    /// As it is stored.
    email: String,
    /// Always true.
    admin: bool,
}

/// Makes the first administrator, once.
#[utoipa::path(post, path = "/auth/bootstrap", request_body = Bootstrap, responses(
    (status = 201, body = Bootstrapped),
    (status = 403, body = Problem, description = "another address was chosen, or the bootstrap token is missing or wrong"),
    (status = 409, body = Problem, description = "an administrator can sign in already"),
    (status = 422, body = Problem),
))]
pub(crate) async fn bootstrap(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Bootstrap>,
) -> Answer<Response> {
    // asked first, so that a closed bootstrap costs no hash
    if app.store.directory().has_admin_who_can_sign_in() {
        return Err(agnes_store::Error::AlreadyBootstrapped.into());
    }
    if !app
        .keys
        .is_bootstrap_token(wanted.bootstrap_token.as_deref())
    {
        app.store
            .refused(&asker.origin, "bootstrap", "auth.bootstrap");
        return Err(
            Problem::forbidden("the bootstrap token of this host is required")
                .because("bootstrap-token"),
        );
    }
    let email = agnes_store::users::normal_email(&wanted.email)?;
    let seeded = app.settings.server.seed_admin_email.clone();
    if seeded.as_ref().is_some_and(|seeded| *seeded != email) {
        return Err(agnes_store::Error::NotTheSeededAddress.into());
    }
    passwords::check(&wanted.password)?;
    let hash = app.passwords.hash(wanted.password).await?;
    let user = app
        .store
        .bootstrap(asker.origin, &email, hash, seeded)
        .await?;
    let made = Bootstrapped {
        id: user.id,
        email: user.email.clone(),
        admin: true,
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

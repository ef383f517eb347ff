//! Signing in, going on, signing out.
//!
//! Always true: a refresh token works once, and one that is shown again ends its family.
//!
//! Does not: judge passwords (`sign_in` does), send mail or render pages.

use std::sync::Arc;

use agnes_store::sessions::{Method, Refreshed};
use agnes_store::{Id, clock};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::refresh;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};
use crate::sign_in::issued::{REFRESH, Tokens};
use crate::sign_in::password;

/// A session that is a month old ends.
const SESSION: Duration = Duration::days(30);

/// Address and password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignIn {
    /// E-mail address.
    email: String,
    /// Its password.
    password: String,
}

/// Signs a person in by password.
#[utoipa::path(post, path = "/auth/token", request_body = SignIn, responses(
    (status = 200, body = Tokens), (status = 401, body = Problem), (status = 429, body = Problem),
))]
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(form): Body<SignIn>,
) -> Answer<Response> {
    let user = password::check(&app, &asker, &form.email, form.password).await?;
    let issued = refresh::first().map_err(|e| Problem::internal(&e.to_string()))?;
    let session = app
        .store
        .start_session(
            asker.origin,
            &user,
            Method::Password,
            issued.kept,
            clock::now() + REFRESH,
        )
        .await?;
    Tokens::answer(&app, &session, &user, &issued.secret, "session")
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Refresh {
    /// As it was given.
    refresh_token: String,
}

/// Exchanges a refresh token for the next pair.
#[utoipa::path(post, path = "/auth/refresh", request_body = Refresh, responses(
    (status = 200, body = Tokens), (status = 401, body = Problem),
))]
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(form): Body<Refresh>,
) -> Answer<Response> {
    let refused = || {
        app.store.refused(&asker.origin, "refresh", "auth.refresh");
        Problem::wrong_credentials()
    };
    let (id, secret) = split(&form.refresh_token).ok_or_else(refused)?;
    let directory = app.store.directory();
    let session = directory.session(id).ok_or_else(refused)?;
    // the id is in every access token and in the log: one that was never given out ends nothing
    let shown = refresh::shown(&session.refresh_hash, secret).ok_or_else(refused)?;
    let next =
        refresh::next(&session.refresh_hash).map_err(|e| Problem::internal(&e.to_string()))?;
    let refreshed = app
        .store
        .refresh_session(
            asker.origin.clone(),
            id,
            shown,
            next.kept,
            end(session.created_at),
        )
        .await;
    match refreshed {
        Ok(Refreshed::Session(session, user)) => {
            Tokens::answer(&app, &session, &user, &next.secret, "refresh")
        }
        Ok(Refreshed::Reused) | Err(agnes_store::Error::Credential) => Err(refused()),
        Err(other) => Err(other.into()),
    }
}

/// Ends this session.
#[utoipa::path(post, path = "/auth/logout", responses((status = 204), (status = 401, body = Problem)))]
pub(crate) async fn sign_out(State(app): State<Arc<App>>, asker: Asker) -> Answer<StatusCode> {
    if let Some(session) = asker.principal()?.session() {
        app.store.end_session(asker.origin, session).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller, and every access token of it.
#[utoipa::path(post, path = "/auth/logout-all", responses((status = 204), (status = 401, body = Problem)))]
pub(crate) async fn sign_out_everywhere(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Answer<StatusCode> {
    let user = asker.principal()?.user.id;
    app.store.end_all_sessions(asker.origin, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// When a refresh token that is given now ends.
fn end(session_began: OffsetDateTime) -> OffsetDateTime {
    (clock::now() + REFRESH).min(session_began + SESSION)
}

/// `<session>.<secret>`.
fn split(refresh_token: &str) -> Option<(Id, &str)> {
    let (id, secret) = refresh_token.split_once('.')?;
    Some((id.parse().ok()?, secret))
}

//! Signing in, going on, signing out.
//!
//! Always true: unknown address, wrong password and disabled user get one answer after the same work; a refresh token works
//! once, and one that is shown again ends its family.
//!
//! Does not: send mail or render pages.

use std::sync::Arc;
use std::time::Instant;

use agnes_store::sessions::{Method, Refreshed, Session};
use agnes_store::users::{Kind, User};
use agnes_store::{Id, clock};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::keys::ACCESS_SECS;
use crate::auth::{refresh, secrets};
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// A refresh token that is not used for a week ends; so does a session that is a month old.
const REFRESH: Duration = Duration::days(7);
const SESSION: Duration = Duration::days(30);

/// Address and password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignIn {
    /// E-mail address.
    email: String,
    /// Its password.
    password: String,
}

/// What a sign-in or a refresh gives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// For the `Authorization` header.
    access_token: String,
    /// Always `bearer`.
    #[schema(value_type = String)]
    token_type: &'static str,
    /// Seconds until the access token ends.
    expires_in: i64,
    /// For `POST /auth/refresh`, once.
    refresh_token: String,
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
    // what cannot be an address is as unknown as any other, and no account: nobody's attempts are counted under it
    let email = agnes_store::users::normal_email(&form.email).ok();
    let now = Instant::now();
    unthrottled(&app, email.as_deref())?;
    let directory = app.store.directory();
    let user = email
        .as_deref()
        .and_then(|email| directory.user_by_email(email));
    let user = user.filter(|user| user.kind == Kind::Person && user.can_sign_in());
    let hash = user.and_then(|user| user.password_hash.clone());
    let place = app.passwords.place().await?;
    // again: while this one waited, others may have used the account's attempts up
    unthrottled(&app, email.as_deref())?;
    let right = place.verify(form.password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        let resource = match &email {
            Some(email) => {
                app.throttle.failed(email, now);
                format!("user:{email}")
            }
            None => "user:(no address)".to_owned(),
        };
        app.store.refused(&asker.origin, "password", &resource);
        return Err(Problem::wrong_credentials());
    };
    app.throttle.succeeded(&user.email);
    drop(place);
    let issued = refresh::first().map_err(|e| Problem::internal(&e.to_string()))?;
    let session = app
        .store
        .start_session(
            asker.origin,
            user,
            Method::Password,
            issued.kept,
            clock::now() + REFRESH,
        )
        .await?;
    tokens(&app, &session, user, &issued.secret, "session")
}

/// Whether a password may be tried for this account.
fn unthrottled(app: &App, email: Option<&str>) -> Result<(), Problem> {
    let Some(email) = email else { return Ok(()) };
    app.throttle.check(email, Instant::now()).map_err(|wait| {
        Problem::too_many(
            "too many wrong passwords for this account",
            wait.as_secs() + 1,
        )
        .because("account-throttled")
    })
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
            tokens(&app, &session, &user, &next.secret, "refresh")
        }
        Ok(Refreshed::Reused) | Err(agnes_store::Error::Credential) => Err(refused()),
        Err(other) => Err(other.into()),
    }
}

/// A one-time link's secret.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Link {
    /// What stands in the link.
    token: String,
}

/// Signs a person in by a one-time link.
#[utoipa::path(post, path = "/auth/magic/verify", request_body = Link, responses(
    (status = 200, body = Tokens), (status = 401, body = Problem),
))]
pub(crate) async fn use_link(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(link): Body<Link>,
) -> Answer<Response> {
    let issued = refresh::first().map_err(|e| Problem::internal(&e.to_string()))?;
    let used = app
        .store
        .use_sign_in_link(
            asker.origin.clone(),
            secrets::sha256(&link.token),
            issued.kept,
            clock::now() + REFRESH,
        )
        .await;
    match used {
        Ok((session, user)) => tokens(&app, &session, &user, &issued.secret, "link"),
        Err(agnes_store::Error::Credential) => {
            app.store.refused(&asker.origin, "link", "auth.magic");
            Err(Problem::wrong_credentials())
        }
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

/// `kind` is what the metrics count the pair under: what it was given for.
fn tokens(
    app: &App,
    session: &Session,
    user: &User,
    secret: &str,
    kind: &'static str,
) -> Answer<Response> {
    let access_token = app
        .access_token(session, user)
        .map_err(|why| Problem::internal(&why))?;
    let tokens = Tokens {
        access_token,
        token_type: "bearer",
        expires_in: ACCESS_SECS,
        refresh_token: format!("{}.{secret}", session.id),
    };
    app.metrics.token_issued(kind);
    // RFC 6749 section 5.1: no cache may keep it
    Ok(([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response())
}

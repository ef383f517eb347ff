//! Personal access tokens of the caller.
//!
//! Always true: made and revoked by a session that a person began, never by a token or the scheduler; the token itself is
//! shown once.
//!
//! Does not: show anybody else's.

use std::sync::Arc;

use agnes_store::tokens::{NewToken, Token};
use agnes_store::{Id, clock};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::List;
use crate::app::App;
use crate::auth::access::Scope;
use crate::auth::{personal, secrets};
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// The longest life of a token, in days.
const LONGEST_DAYS: i64 = 366;
/// The life of a token for which none was asked, in days.
const USUAL_DAYS: i64 = 90;

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewToken)]
// without `scopes` a token may all that its owner may: a slip in that name must not make one
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// For its owner to know it by.
    pub(super) name: String,
    /// `read`, `write`, `admin`, each including those before it; empty: all that the owner may do.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    /// 1 to 366; 90 unless given.
    pub(super) expires_in_days: Option<i64>,
}

/// A token as its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct Shown {
    /// Its name for programs.
    #[schema(value_type = String)]
    id: Id,
    /// The token: only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Its name for its owner.
    name: String,
    /// As it was made.
    scopes: Vec<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: OffsetDateTime,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<OffsetDateTime>,
    /// When it was last used.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<OffsetDateTime>,
    /// From which address.
    last_used_ip: Option<String>,
}

impl Shown {
    pub(crate) fn of(app: &App, token: &Token, secret: Option<String>) -> Self {
        let (last_used_at, last_used_ip) = app.store.last_use(token).unzip();
        Self {
            id: token.id,
            token: secret,
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at,
            last_used_ip,
        }
    }
}

/// Makes a token.
#[utoipa::path(post, path = "/auth/tokens", request_body = Wanted, responses(
    (status = 201, body = Shown), (status = 403, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Answer<Response> {
    let (token, secret) = make(&app, asker, wanted).await?;
    let shown = Shown::of(&app, &token, Some(secret));
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(shown)).into_response())
}

/// Makes a token for the caller; the text is its secret.
///
/// # Errors
/// 422 for a life or a scope that is none; what a write can answer.
pub(super) async fn make(app: &App, asker: Asker, wanted: Wanted) -> Answer<(Arc<Token>, String)> {
    let days = wanted.expires_in_days.unwrap_or(USUAL_DAYS);
    if !(1..=LONGEST_DAYS).contains(&days) {
        return Err(Problem::unprocessable(
            "a token lives for 1 to 366 days (expires_in_days)",
        ));
    }
    let mut scopes = wanted.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes
        .iter()
        .any(|scope| !Scope::ALL.contains(&scope.as_str()))
    {
        return Err(Problem::unprocessable("scopes are read, write and admin"));
    }
    let secret = personal::make().map_err(|e| Problem::internal(&e.to_string()))?;
    let new = NewToken {
        name: wanted.name,
        hash: secrets::sha256(&secret),
        scopes,
        expires_at: clock::now() + Duration::days(days),
    };
    let user = asker.principal()?.user.id;
    let token = app.store.create_token(asker.origin, user, new).await?;
    app.metrics.token_issued("personal");
    Ok((token, secret))
}

/// The caller's tokens, without the tokens themselves.
#[utoipa::path(get, path = "/auth/tokens", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>, asker: Asker) -> Answer<Json<List<Shown>>> {
    let user = asker.principal()?.user.id;
    let tokens = app.store.directory().tokens_of(user);
    let shown = tokens.iter().map(|token| Shown::of(&app, token, None));
    Ok(Json(List::whole(shown.collect())))
}

/// Revokes a token of the caller, at once and for good.
#[utoipa::path(delete, path = "/auth/tokens/{id}", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem),
))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(token): Path<String>,
) -> Answer<StatusCode> {
    let id = super::id(&token, "there is no such token")?;
    let user = asker.principal()?.user.id;
    app.store.revoke_token(asker.origin, Some(user), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

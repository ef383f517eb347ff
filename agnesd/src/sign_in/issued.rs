//! What a sign-in gives a program: an access token, and what renews it.
//!
//! Always true: no cache may keep it.
//!
//! Does not: begin sessions.

use agnes_store::sessions::Session;
use agnes_store::users::User;
use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::Duration;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::keys::ACCESS_SECS;
use crate::error::{Answer, Problem};

/// A refresh token that is not used for a week ends.
pub(crate) const REFRESH: Duration = Duration::days(7);

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

impl Tokens {
    /// A pair of this session. `kind` is what the metrics count it under: what it was given for.
    pub(crate) fn answer(
        app: &App,
        session: &Session,
        user: &User,
        secret: &str,
        kind: &'static str,
    ) -> Answer<Response> {
        let access_token = app
            .access_token(session, user)
            .map_err(|why| Problem::internal(&why))?;
        let tokens = Self {
            access_token,
            token_type: "bearer",
            expires_in: ACCESS_SECS,
            refresh_token: format!("{}.{secret}", session.id),
        };
        app.metrics.token_issued(kind);
        // RFC 6749 section 5.1
        Ok(([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response())
    }
}

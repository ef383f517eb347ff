//! One principal in an incident: what it holds, shutting it out, and what it may call.
//!
//! Always true: an act is in the audit log with the act itself; no secret is in an answer.
//!
//! Does not: decide whether it is wise.

use std::sync::Arc;
use std::time::Instant;

use agnes_store::containment::ShutOut;
use agnes_store::raised_limits::{RaisedLimit, Terms};
use agnes_store::sessions::{Method, Session};
use agnes_store::{Id, clock};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::Operator;
use crate::app::App;
use crate::auth::secrets;
use crate::error::{Answer, Problem};
use crate::limits::Key;
use crate::request::Body;
use crate::routes::{self, tokens, users};

/// More than anybody needs: what is let in within a minute is remembered one by one.
const MOST_PER_MIN: u32 = 100_000;

/// For longer than that a limit is no exception any more, and belongs into the settings.
const LONGEST: Duration = Duration::days(31);

/// A session as the operator sees it.
#[derive(Serialize)]
struct Live {
    id: Id,
    method: Method,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    refreshed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl Live {
    fn of(session: &Session) -> Self {
        Self {
            id: session.id,
            method: session.method,
            created_at: session.created_at,
            refreshed_at: session.refreshed_at,
            expires_at: session.expires_at,
        }
    }
}

/// What a principal may call, and whether it is at the end of it.
#[derive(Serialize)]
struct Limit {
    /// Calls in 60 s; 0: not limited.
    per_min: u32,
    /// What everybody may.
    usual_per_min: u32,
    /// Given more until then.
    #[serde(with = "time::serde::rfc3339::option")]
    raised_until: Option<OffsetDateTime>,
    /// Calls refused since the last one that was let in; none: the next is let in.
    refused: Option<u64>,
    /// Until the next one is let in; none: now.
    retry_after_secs: Option<u64>,
}

impl Limit {
    fn of(app: &App, id: Id) -> Self {
        let now = Instant::now();
        let raised = app.store.directory().raised_limits(clock::now());
        let limited = app.limits.limited(now);
        let mine = limited
            .into_iter()
            .find(|one| one.key == Key::Principal(id));
        Self {
            per_min: app.limits.of_principal(id, now),
            usual_per_min: app.settings.limits.authenticated_per_min,
            raised_until: raised
                .iter()
                .find(|raised| raised.user == id)
                .map(|raised| raised.terms.until),
            refused: mine.as_ref().map(|one| one.refused),
            retry_after_secs: mine.as_ref().map(|one| one.retry_after_secs),
        }
    }
}

/// A principal with all that opens something in its name.
#[derive(Serialize)]
pub(super) struct Principal {
    user: users::Shown,
    sessions: Vec<Live>,
    tokens: Vec<tokens::Shown>,
    limit: Limit,
}

impl Principal {
    fn of(app: &App, who: &str) -> Answer<Self> {
        let directory = app.store.directory();
        let user = routes::user(&directory, who)?;
        let now = clock::now();
        let sessions = directory.sessions_of(user.id).into_iter();
        let tokens = directory.tokens_of(user.id).into_iter();
        Ok(Self {
            user: users::Shown::of(&directory, user),
            sessions: sessions
                .filter(|session| session.expires_at > now)
                .map(|session| Live::of(&session))
                .collect(),
            tokens: tokens
                .map(|token| tokens::Shown::of(app, &token, None))
                .collect(),
            limit: Limit::of(app, user.id),
        })
    }
}

/// `GET /v1/principals/{who}`: by id or address.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(who): Path<String>,
) -> Answer<Json<Principal>> {
    Ok(Json(Principal::of(&app, &who)?))
}

/// What a containment came to.
#[derive(Serialize)]
pub(super) struct Contained {
    shut_out: ShutOut,
    sessions_ended: usize,
    tokens_revoked: usize,
    #[serde(flatten)]
    principal: Principal,
}

/// `POST /v1/principals/{who}/contain`: nothing in its name opens anything any more.
pub(super) async fn contain(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Path(who): Path<String>,
) -> Answer<Json<Contained>> {
    let id = routes::user(&app.store.directory(), &who)?.id;
    // nobody learns it, so that nobody has it
    let unknown = secrets::random().map_err(|e| Problem::internal(&e.to_string()))?;
    let hash = app.passwords.hash(unknown).await?;
    let contained = app.store.contain(origin, id, hash).await?;
    Ok(Json(Contained {
        shut_out: contained.shut_out,
        sessions_ended: contained.sessions,
        tokens_revoked: contained.tokens,
        principal: Principal::of(&app, &id.to_string())?,
    }))
}

/// `PUT /v1/principals/{who}/limit`: more calls until a time.
pub(super) async fn raise_limit(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Path(who): Path<String>,
    Body(wanted): Body<Terms>,
) -> Answer<Json<Principal>> {
    let user = routes::user(&app.store.directory(), &who)?.id;
    let usual = app.settings.limits.authenticated_per_min;
    if usual == 0 {
        return Err(Problem::unprocessable("no principal is limited here"));
    }
    if wanted.per_min <= usual || wanted.per_min > MOST_PER_MIN {
        return Err(Problem::unprocessable(
            "per_min is more than everybody has, and at most 100000",
        )
        .saying(format!("everybody has {usual}")));
    }
    let now = clock::now();
    if wanted.until <= now || wanted.until > now + LONGEST {
        return Err(Problem::unprocessable(
            "until is in the future, and at most 31 days from now",
        ));
    }
    let raised = RaisedLimit {
        user,
        terms: wanted,
    };
    app.store.raise_limit(origin, raised).await?;
    app.take_up_raised_limits();
    Ok(Json(Principal::of(&app, &user.to_string())?))
}

/// `DELETE /v1/principals/{who}/limit`: as everybody again; also where it was so.
pub(super) async fn end_raised_limit(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Path(who): Path<String>,
) -> Answer<Json<Principal>> {
    let user = routes::user(&app.store.directory(), &who)?.id;
    app.store.end_raised_limit(origin, user).await?;
    app.take_up_raised_limits();
    Ok(Json(Principal::of(&app, &user.to_string())?))
}

//! What the operator's programs make the server do.
//!
//! Always true: an act is in the audit log before it is answered; holding and releasing are told in the order in which the
//! writer did them.
//!
//! Does not: decide whether it is wise.

use std::sync::Arc;

use agnes_store::audit::Event;
use agnes_store::{Hold, Snapshot, clock};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use super::Operator;
use super::messages::{Holding, LockedOut, Releasing, Wanted};
use crate::app::App;
use crate::auth::keys::ACCESS_SECS;
use crate::auth::secrets;
use crate::error::{Answer, Problem};
use crate::reload::{self, Failed};
use crate::request::Body;

/// How long a sign-in link that was made here lives.
const LINK_SECS: i64 = 900;

/// `POST /v1/keys/reload`: takes the secrets up again.
pub(super) async fn reload_keys(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
) -> Answer<Json<Value>> {
    let reloaded = reload::secrets(&app, origin, super::ACTOR).await;
    let reloaded = reloaded.map_err(|failed| match failed {
        Failed::Refused(why) => {
            Problem::unprocessable("the secrets were refused, those in use stay").saying(why)
        }
        Failed::Broken(why) => Problem::internal(&why),
        Failed::Unrecorded(why) => why.into(),
    })?;
    Ok(Json(json!({
        "outcome": reloaded.outcome(),
        "changed": reloaded.changed,
        "keys": app.keys.ids(),
        "scheduler": app.keys.has_scheduler(),
        "generations": app.keys.generations(),
    })))
}

/// `POST /v1/keys/probe`: an access token of a session that is nobody's and may nothing, signed as any other. What the key
/// opens is asked with it at `/api/me`, here or on TCP.
pub(super) async fn probe_keys(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
) -> Answer<Json<Value>> {
    let expires_at = clock::now() + Duration::seconds(ACCESS_SECS);
    let (session, user) = app.store.start_probe_session(origin, expires_at).await?;
    let access_token = app
        .access_token(&session, &user)
        .map_err(|why| Problem::internal(&why))?;
    Ok(Json(
        json!({"access_token": access_token, "token_type": "bearer", "expires_in": ACCESS_SECS}),
    ))
}

/// The jobs that run, with when they began.
pub(super) fn running(app: &App) -> Vec<Value> {
    let running = app.jobs.running().into_iter();
    running
        .map(|(name, since)| json!({"name": name, "since": since.format(&Rfc3339).ok()}))
        .collect()
}

/// `POST /v1/drain`: takes no further jobs; says what runs.
pub(super) async fn drain(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
) -> Answer<Json<Value>> {
    app.jobs.pause();
    app.events.upgrade("draining");
    app.store
        .record(origin, Event::done("server.drained", "jobs"))
        .await?;
    Ok(Json(
        json!({"draining": true, "jobs_running": running(&app)}),
    ))
}

/// `POST /v1/resume`: takes jobs again.
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
) -> Answer<Json<Value>> {
    app.jobs.resume();
    app.events.upgrade("resumed");
    app.store
        .record(origin, Event::done("server.resumed", "jobs"))
        .await?;
    Ok(Json(
        json!({"draining": false, "jobs_running": running(&app)}),
    ))
}

/// `POST /v1/checkpoint`: folds the write-ahead log in.
pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Answer<Json<Value>> {
    app.store.checkpoint().await?;
    let wal_bytes = app.look().await.map(|seen| seen.figures.wal_bytes);
    Ok(Json(json!({ "wal_bytes": wal_bytes })))
}

/// `POST /v1/canary`: one value written, read by another connection and deleted; also while writes are held.
pub(super) async fn canary(State(app): State<Arc<App>>) -> Answer<Json<Value>> {
    app.store.canary().await?;
    Ok(Json(json!({"status": "ok"})))
}

/// A snapshot that was made.
#[derive(Serialize)]
pub(super) struct Made {
    name: String,
    #[serde(flatten)]
    snapshot: Snapshot,
}

/// `POST /v1/snapshot`: a proven copy in `$DATA_DIR/snapshots/<name>/`.
pub(super) async fn snapshot(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Made>> {
    let name = wanted.name().map_err(Problem::unprocessable)?;
    let one = Arc::clone(&app.snapshots)
        .try_lock_owned()
        .map_err(|_| Problem::conflict("a snapshot is being made").because("snapshot-running"))?;
    // a task of its own: a caller that goes away must not let a second one begin beside the child that still copies
    let made = tokio::spawn(async move {
        let _one = one;
        let dir = app.snapshots_dir().join(&name);
        let snapshot = app.store.snapshot(&dir).await?;
        let event = Event::done("snapshot.created", format!("snapshot:{name}"))
            .with("sha256", snapshot.sha256.clone())
            .with("pause_ms", snapshot.pause_ms);
        app.store.record(origin, event).await?;
        app.events.upgrade("snapshot");
        Ok(Json(Made { name, snapshot }))
    });
    made.await
        .map_err(|crash| Problem::internal(&format!("snapshot: {crash}")))?
}

/// `POST /v1/writes/hold`: from the answer on nothing but the canary is written, until it is released.
pub(super) async fn hold(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Body(holding): Body<Holding>,
) -> Answer<Json<Hold>> {
    let (id, by) = holding
        .id_and_by(super::ACTOR)
        .map_err(Problem::unprocessable)?;
    let wanted = Hold {
        since: clock::now().format(&Rfc3339).unwrap_or_default(),
        id,
        by,
    };
    let event = Event::done("writes.held", format!("hold:{}", wanted.id));
    let hold = app.store.hold(wanted).await.map_err(by_another)?;
    app.metrics.writes_held(true);
    app.events.upgrade("writes-held");
    app.store.record(origin, event).await?;
    Ok(Json(hold))
}

/// `POST /v1/writes/release`: writes go on; `released` is null when nothing was held.
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    body: Bytes,
) -> Answer<Json<Value>> {
    let releasing = Releasing::read(&body).map_err(Problem::bad_request)?;
    let released = app.store.release(releasing.id).await.map_err(by_another)?;
    app.metrics.writes_held(false);
    if released.is_some() {
        app.events.upgrade("writes-released");
    }
    if let Some(hold) = &released {
        let event = Event::done("writes.released", format!("hold:{}", hold.id));
        app.store.record(origin, event).await?;
    }
    Ok(Json(json!({"released": released})))
}

fn by_another(error: agnes_store::Error) -> Problem {
    match error {
        agnes_store::Error::Held(hold) => Problem::conflict("writes are held under another id")
            .because("held-by-another")
            .saying(format!(
                "held by {} as {} since {}",
                hold.by, hold.id, hold.since
            )),
        other => other.into(),
    }
}

/// `POST /v1/sign-in-link`: a secret that signs a person in, once.
pub(super) async fn sign_in_link(
    State(app): State<Arc<App>>,
    Operator(origin): Operator,
    Body(locked_out): Body<LockedOut>,
) -> Answer<(StatusCode, Json<Value>)> {
    let secret = secrets::random().map_err(|e| Problem::internal(&e.to_string()))?;
    let expires_at = clock::now() + Duration::seconds(LINK_SECS);
    let hash = secrets::sha256(&secret);
    let user = app
        .store
        .create_sign_in_link(origin, &locked_out.email, hash, expires_at)
        .await?;
    let link = json!({
        "email": user.email,
        "token": secret,
        "expires_in": LINK_SECS,
        "verify": "/auth/magic/verify",
    });
    Ok((StatusCode::CREATED, Json(link)))
}

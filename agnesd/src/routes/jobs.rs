//! Jobs: how they went, and running one now.
//!
//! Always true: who asked for a run is in the audit log before it starts.
//!
//! Does not: show where a job leads outside, or with what credential.

use std::sync::Arc;

use agnes_store::jobs::JobState;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::List;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::jobs::{NotStarted, Slot};
use crate::request::Asker;

/// A job and its last run.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct Shown {
    pub(super) name: String,
    pub(super) schedule: String,
    pub(super) built_in: bool,
    /// The path on this server that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    pub(super) running: bool,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) running_since: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) next_run_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) last_started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) last_finished_at: Option<OffsetDateTime>,
    /// Of the last run that ended, as every `last_…`: `success`, `degraded` (done, but for what `last_error` says), `failure`,
    /// `timeout`, `interrupted`. Null: none has ended, or the server ended during it and writes have been held since.
    pub(super) last_outcome: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) last_took_ms: Option<i64>,
    pub(super) consecutive_failures: i64,
}

/// A run that began.
#[derive(Serialize, ToSchema)]
#[schema(as = StartedJob)]
pub(crate) struct Started {
    #[schema(value_type = String)]
    status: &'static str,
    name: String,
}

/// All jobs.
#[utoipa::path(get, path = "/api/jobs", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    Json(List::whole(all(&app)))
}

/// Each job as it is now.
pub(super) fn all(app: &App) -> Vec<Shown> {
    // a slot is there from before a start is written until after its end is: both are looked at in one moment
    let (slots, directory) = {
        let slots = app.jobs.slots();
        (slots.clone(), app.store.directory())
    };
    let now = agnes_store::clock::now().unix_timestamp();
    let shown = app.jobs.all().iter().map(|spec| {
        let state = directory.job(&spec.name);
        let next = app.jobs.next_at(spec, state.map(AsRef::as_ref), now);
        let slot = slots.get(&spec.name);
        let since = slot.and_then(Slot::running_since);
        let last = match (slot, state) {
            (Some(slot), _) => slot.last.clone(),
            (None, Some(state)) => app
                .store
                .kept_job_end(state)
                .unwrap_or_else(|| JobState::clone(state)),
            (None, None) => JobState::default(),
        };
        Shown {
            name: spec.name.clone(),
            schedule: spec.schedule(),
            built_in: spec.is_built_in(),
            target: spec.path().map(str::to_owned),
            running: since.is_some(),
            running_since: since,
            next_run_at: OffsetDateTime::from_unix_timestamp(next).ok(),
            last_started_at: last.last_started_at,
            last_finished_at: last.last_finished_at,
            last_outcome: last.last_outcome,
            last_error: last.last_error,
            last_took_ms: last.last_took_ms,
            consecutive_failures: last.consecutive_failures,
        }
    });
    shown.collect()
}

/// Runs one now.
#[utoipa::path(post, path = "/api/jobs/{name}/run", params(("name" = String, Path)), responses(
    (status = 202, body = Started), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 503, body = Problem),
))]
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Answer<(StatusCode, Json<Started>)> {
    crate::scheduler::ask(&app, &name, asker.origin)
        .await
        .map_err(|why| match why {
            NotStarted::Unknown => Problem::not_found("there is no such job"),
            NotStarted::Running => Problem::conflict("the job is running"),
            NotStarted::Paused => Problem::not_ready(vec!["draining"]),
            NotStarted::Store(why) => why.into(),
        })?;
    let status = "started";
    Ok((StatusCode::ACCEPTED, Json(Started { status, name })))
}

//! Running jobs: when they are due, or when somebody asks.
//!
//! Always true: a start is durable before anything is done and so is the end, so that a run that was cut off is found
//! `interrupted` (A12); nothing starts while writes are held, while paused or while stopping.
//!
//! Does not: decide when something is due (`jobs` does).

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use agnes_store::audit::{Event, Origin, Outcome};
use agnes_store::jobs::JobState;
use agnes_store::{Error, clock};
use axum::Router;
use time::OffsetDateTime;

use crate::app::App;
use crate::jobs::{NotStarted, Phase, Slot, Spec};

mod perform;

use perform::Done;

/// The clock is looked at this often: it may jump while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// The outcome of a run that was cut off.
const INTERRUPTED: &str = "interrupted";
/// The outcome of a run that did its work and could not do all that belongs to it.
const DEGRADED: &str = "degraded";

/// A claimed slot: given back when it goes, also by a panic.
struct Claim(Arc<App>, Arc<Spec>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.jobs.slots().remove(&self.1.name);
    }
}

/// Settles what the last process left, then starts each job when it is due.
pub(crate) async fn start(app: &Arc<App>, router: Router) {
    let _ = app.jobs.router.set(router);
    for spec in app.jobs.all() {
        let (app, spec) = (Arc::clone(app), Arc::clone(spec));
        let settled = settle(&app, &spec).await;
        tokio::spawn(keep(app, spec, settled));
    }
}

/// A run without an end, also none that was kept, was cut off; a start in the future becomes now, once, for else each look would move it on.
async fn settle(app: &App, spec: &Spec) -> bool {
    let Some(state) = app.store.directory().job(&spec.name).cloned() else {
        return true;
    };
    let (now, mut wanted) = (clock::now(), JobState::clone(&state));
    wanted.last_started_at = wanted.last_started_at.map(|at| at.min(now));
    wanted.last_finished_at = wanted.last_finished_at.map(|at| at.min(now));
    let (mut audit, mut interrupted) = (None, false);
    if state.is_open() {
        // its end may be known: writes were held when it came
        let kept = app.store.kept_job_end(&state);
        interrupted = kept.is_none();
        let kept = kept.unwrap_or_else(|| JobState {
            last_finished_at: Some(now),
            last_outcome: Some(INTERRUPTED.to_owned()),
            last_error: Some("the server ended during the run".to_owned()),
            last_took_ms: None,
            ..JobState::clone(&state)
        });
        wanted.last_took_ms = kept.last_took_ms;
        let at = kept.last_finished_at.unwrap_or(now).min(now);
        let outcome = kept.last_outcome.as_deref().unwrap_or(INTERRUPTED);
        audit = ended(&mut wanted, at, outcome, kept.last_error);
    }
    if wanted == *state {
        return true;
    }
    if app.store.put_job(wanted, audit).await.is_err() {
        return false;
    }
    if interrupted {
        app.metrics.job_run(&spec.name, INTERRUPTED);
    }
    forget(app, &spec.name).await;
    true
}

/// A kept end that stays is about a run that is over: it does nothing.
async fn forget(app: &App, name: &str) {
    if let Err(why) = app.store.forget_job_end(name).await {
        tracing::warn!("job {name}: {why}");
    }
}

async fn keep(app: Arc<App>, spec: Arc<Spec>, mut settled: bool) {
    let mut phase = app.jobs.phase.subscribe();
    loop {
        let state = app.store.directory().job(&spec.name).cloned();
        let now = clock::now();
        let future = state
            .as_ref()
            .is_some_and(|s| s.last_started_at.is_some_and(|at| at > now));
        let free = app.jobs.may_start()
            && app.store.held().is_none()
            && !app.jobs.slots().contains_key(&spec.name);
        if free && (!settled || future) {
            settled = settle(&app, &spec).await;
        }
        let next = app
            .jobs
            .next_at(&spec, state.as_deref(), now.unix_timestamp());
        let wait = u64::try_from(next - now.unix_timestamp()).unwrap_or(0);
        if wait == 0 && free && settled && !future {
            match begin(&app, &spec, None).await {
                // in a task of its own: a run that panics ends alone
                Ok(claim) => {
                    if let Err(crash) = tokio::spawn(run(claim)).await {
                        tracing::error!("job {}: {crash}", spec.name);
                    }
                }
                Err(NotStarted::Store(why)) => {
                    tracing::error!("job {}: not started: {why}", spec.name);
                    tokio::time::sleep(LONGEST_SLEEP).await;
                }
                Err(_) => {}
            }
        }
        let sleep = Duration::from_secs(wait.max(1)).min(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
        }
    }
}

/// Starts the job because somebody asked; returns when the start and who asked are durable.
///
/// # Errors
/// [`NotStarted`].
pub(crate) async fn ask(app: &Arc<App>, name: &str, origin: Origin) -> Result<(), NotStarted> {
    let spec = app.jobs.all().iter().find(|spec| spec.name == name);
    let spec = spec.ok_or(NotStarted::Unknown)?;
    let event = Event::done("job.run", format!("job:{name}"));
    let claim = begin(app, spec, Some((origin, event))).await?;
    tokio::spawn(run(claim));
    Ok(())
}

/// As it is written.
fn last(app: &App, spec: &Spec) -> JobState {
    let directory = app.store.directory();
    directory
        .job(&spec.name)
        .map(|state| JobState::clone(state))
        .unwrap_or_default()
}

async fn begin(
    app: &Arc<App>,
    spec: &Arc<Spec>,
    audit: Option<(Origin, Event)>,
) -> Result<Claim, NotStarted> {
    let since = clock::now();
    let (claim, mut state) = {
        let mut slots = app.jobs.slots();
        // of one moment with the claim: no run can end in between
        let state = last(app, spec);
        if !app.jobs.may_start() {
            return Err(NotStarted::Paused);
        }
        if slots.contains_key(&spec.name) {
            return Err(NotStarted::Running);
        }
        slots.insert(
            spec.name.clone(),
            Slot {
                since,
                last: state.clone(),
                ended: false,
            },
        );
        (Claim(Arc::clone(app), Arc::clone(spec)), state)
    };
    if state.is_open() {
        // asked for before what the last process left was settled
        settle(app, spec).await;
        state = last(app, spec);
        if let Some(slot) = app.jobs.slots().get_mut(&spec.name) {
            slot.last = state.clone();
        }
    }
    state.name.clone_from(&spec.name);
    state.last_started_at = Some(since);
    state.last_outcome = None;
    app.store
        .put_job(state, audit)
        .await
        .map_err(NotStarted::Store)?;
    app.events.job(&spec.name, None);
    Ok(claim)
}

async fn run(claim: Claim) {
    let (app, spec) = (&claim.0, &claim.1);
    let began = Instant::now();
    let mut phase = app.jobs.phase.subscribe();
    let work = async {
        let router = app.jobs.router.get().ok_or("the server is starting")?;
        perform::perform(app, router, &spec.act).await
    };
    let (outcome, error) = tokio::select! {
        done = tokio::time::timeout(spec.timeout, work) => match done {
            Ok(Ok(Done::Whole)) => ("success", None),
            Ok(Ok(Done::But(left))) => (DEGRADED, Some(left)),
            Ok(Err(why)) => ("failure", Some(why)),
            Err(_) => ("timeout", Some(format!("not done after {:?}", spec.timeout))),
        },
        _ = phase.wait_for(|phase| *phase == Phase::Interrupting) => {
            app.jobs.interrupted.lock().unwrap_or_else(PoisonError::into_inner).push(spec.name.clone());
            (INTERRUPTED, Some("the server stopped".to_owned()))
        }
    };
    let now = clock::now();
    app.metrics.job_run(&spec.name, outcome);
    if is_done(outcome) {
        app.metrics.job_succeeded(&spec.name, now.unix_timestamp());
    }
    match &error {
        None => {}
        Some(left) if is_done(outcome) => tracing::warn!("job {}: {outcome}: {left}", spec.name),
        Some(why) => tracing::error!("job {}: {outcome}: {why}", spec.name),
    }
    let mut state = last(app, spec);
    state.last_took_ms = i64::try_from(began.elapsed().as_millis()).ok();
    let audit = ended(&mut state, now, outcome, error);
    if let Some(slot) = app.jobs.slots().get_mut(&spec.name) {
        slot.ended = true;
    }
    record(app, state, audit).await;
    app.events.job(&spec.name, Some(outcome));
}

/// Writes an end. While writes are held it is kept beside the hold, so that neither a stop nor a kill makes another of it.
async fn record(app: &App, end: JobState, audit: Option<(Origin, Event)>) {
    let mut kept = false;
    loop {
        match app.store.put_job(end.clone(), audit.clone()).await {
            Ok(_) if kept => return forget(app, &end.name).await,
            Ok(_) => return,
            Err(Error::Held(_)) => {
                if !kept {
                    kept = true;
                    if let Err(why) = app.store.keep_job_end(end.clone()).await {
                        tracing::error!("job {}: its end is not kept: {why}", end.name);
                    }
                    if let Some(slot) = app.jobs.slots().get_mut(&end.name) {
                        slot.last = end.clone();
                    }
                }
                if *app.jobs.phase.borrow() != Phase::Serving {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(why) => return tracing::error!("job {}: its end is not written: {why}", end.name),
        }
    }
}

/// Whether the work was done, if with something left over.
fn is_done(outcome: &str) -> bool {
    matches!(outcome, "success" | DEGRADED)
}

/// Puts the end into `state`; the row for the audit log when this is the first run that did not succeed.
fn ended(
    state: &mut JobState,
    at: OffsetDateTime,
    outcome: &str,
    error: Option<String>,
) -> Option<(Origin, Event)> {
    let first = state.consecutive_failures == 0 && !is_done(outcome);
    state.last_finished_at = Some(at);
    state.last_outcome = Some(outcome.to_owned());
    state.consecutive_failures = if is_done(outcome) {
        0
    } else {
        state.consecutive_failures.saturating_add(1)
    };
    state.last_error = error;
    first.then(|| {
        let event =
            Event::done("job.failed", format!("job:{}", state.name)).ended(Outcome::Failure);
        (Origin::server(), event.with("outcome", outcome))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degraded_run_is_no_failure_and_says_what_is_left() {
        let mut state = JobState {
            name: "expire".to_owned(),
            consecutive_failures: 2,
            ..JobState::default()
        };
        let left = Some("audit.head is behind".to_owned());
        let audit = ended(&mut state, clock::now(), DEGRADED, left.clone());
        assert!(audit.is_none(), "{audit:?}");
        assert_eq!((state.consecutive_failures, &state.last_error), (0, &left));
        assert_eq!(state.last_outcome.as_deref(), Some("degraded"));
        // the first that fails afterwards is told, the next is not
        for told in [true, false] {
            let audit = ended(&mut state, clock::now(), INTERRUPTED, None);
            assert_eq!(audit.is_some(), told);
        }
        assert_eq!(state.consecutive_failures, 2);
    }
}

//! The scheduled jobs: what there is, what runs, and starting and ending them.
//!
//! Always true: a job never runs twice at once; a start is durable before anything is done and so is the end, so that a run
//! that was cut off is found `interrupted` (A12); nothing starts while writes are held, while paused or while stopping.
//!
//! Does not: decide when something is due (`due`), do it (`perform`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use agnes_config::{Job, Settings};
use agnes_store::audit::{Event, Origin, Outcome};
use agnes_store::jobs::JobState;
use agnes_store::{Error, clock};
use axum::Router;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::app::App;

mod due;
mod perform;

use due::{Last, Rhythm};

/// The clock is looked at this often: it may jump while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How long the ends of interrupted runs may take to be written.
const RECORDING: Duration = Duration::from_secs(3);

/// What a job does.
#[derive(Debug)]
enum Act {
    Checkpoint,
    Expire,
    AuditHead,
    SelfCheck,
    Call(Job),
}

/// One job.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    rhythm: Rhythm,
    timeout: Duration,
    retries: u32,
    act: Act,
}

impl Spec {
    fn built_in(name: &str, every_secs: i64, timeout_secs: u64, act: Act) -> Self {
        Self {
            name: name.to_owned(),
            rhythm: Rhythm::Every(every_secs),
            timeout: Duration::from_secs(timeout_secs),
            retries: 3,
            act,
        }
    }

    /// As it is written in the settings.
    pub(crate) fn schedule(&self) -> String {
        self.rhythm.to_string()
    }

    /// The path that is called, without its query; `None` for other targets.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.act {
            Act::Call(Job {
                target: agnes_config::JobTarget::Path(path),
                ..
            }) => path.split('?').next(),
            _ => None,
        }
    }

    pub(crate) fn is_built_in(&self) -> bool {
        !matches!(self.act, Act::Call(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Stopping,
    Interrupting,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    since: OffsetDateTime,
    /// It ended, and its end is being written.
    ended: bool,
}

/// Why a job was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    Unknown,
    Running,
    Paused,
    Store(Error),
}

/// All jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    specs: Vec<Arc<Spec>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    interrupted: Mutex<Vec<String>>,
    paused: watch::Sender<bool>,
    phase: watch::Sender<Phase>,
    router: OnceLock<Router>,
    serving_since: i64,
    draws: RandomState,
}

impl Jobs {
    pub(crate) fn new(settings: &Settings) -> Self {
        let every = i64::try_from(settings.store.checkpoint_every.as_secs())
            .unwrap_or(300)
            .max(1);
        let mut specs = vec![
            Spec::built_in("checkpoint", every, 300, Act::Checkpoint),
            Spec::built_in("expire", 3600, 300, Act::Expire),
            Spec::built_in("audit-head", 86_400, 30, Act::AuditHead),
            Spec::built_in("self-check", 300, 30, Act::SelfCheck),
        ];
        specs.extend(settings.jobs.iter().map(|job| Spec {
            name: job.name.clone(),
            rhythm: Rhythm::Scheduled(job.schedule.clone()),
            timeout: job.timeout,
            retries: job.retries,
            act: Act::Call(job.clone()),
        }));
        Self {
            specs: specs.into_iter().map(Arc::new).collect(),
            slots: Mutex::default(),
            interrupted: Mutex::default(),
            paused: watch::Sender::new(false),
            phase: watch::Sender::new(Phase::Serving),
            router: OnceLock::new(),
            serving_since: clock::now().unix_timestamp(),
            draws: RandomState::new(),
        }
    }

    pub(crate) fn all(&self) -> &[Arc<Spec>] {
        &self.specs
    }

    /// From here on no job starts.
    pub(crate) fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Jobs start again.
    pub(crate) fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// What runs, and since when.
    pub(crate) fn running(&self) -> Vec<(String, OffsetDateTime)> {
        let slots = self.slots();
        let running = slots.iter().filter(|(_, slot)| !slot.ended);
        running
            .map(|(name, slot)| (name.clone(), slot.since))
            .collect()
    }

    /// When the job starts by itself, in seconds since 1970.
    pub(crate) fn next_at(&self, spec: &Spec, state: Option<&JobState>, now: i64) -> i64 {
        let seconds = |at: OffsetDateTime| at.unix_timestamp();
        let last = state.map_or_else(Last::default, |state| Last {
            started: state.last_started_at.map(seconds),
            finished: state.last_finished_at.map(seconds),
            failures: state.consecutive_failures,
        });
        let draw = self.draws.hash_one((&spec.name, last.started));
        due::next(
            &spec.rhythm,
            spec.retries,
            last,
            self.serving_since,
            now,
            draw,
        )
    }

    /// Lets running jobs finish for at most `patience`; returns those that had to be interrupted.
    pub(crate) async fn drain(&self, patience: Duration) -> Vec<String> {
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Stopping;
            }
            serving
        });
        let end = Instant::now() + patience;
        while !self.slots().is_empty()
            && Instant::now() < end
            && *self.phase.borrow() != Phase::Interrupting
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.interrupt();
        let end = Instant::now() + RECORDING;
        while !self.slots().is_empty() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.interrupted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Interrupts what runs.
    pub(crate) fn interrupt(&self) {
        self.phase.send_replace(Phase::Interrupting);
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_start(&self) -> bool {
        !*self.paused.borrow() && *self.phase.borrow() == Phase::Serving
    }
}

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

/// A run without an end was cut off; a start in the future becomes now, once, for else each look would move it on.
async fn settle(app: &App, spec: &Spec) -> bool {
    let Some(state) = app.store.directory().job(&spec.name).cloned() else {
        return true;
    };
    let (now, mut wanted) = (clock::now(), JobState::clone(&state));
    wanted.last_started_at = wanted.last_started_at.map(|at| at.min(now));
    wanted.last_finished_at = wanted.last_finished_at.map(|at| at.min(now));
    let mut audit = None;
    if state.is_open() {
        audit = ended(
            &mut wanted,
            now,
            "interrupted",
            Some("the server ended during the run".to_owned()),
        );
        app.metrics.job_run(&spec.name, "interrupted");
    }
    wanted == *state || app.store.put_job(wanted, audit).await.is_ok()
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
                Ok(claim) => run(claim).await,
                Err(NotStarted::Store(why)) => {
                    tracing::error!("job {}: not started: {why}", spec.name)
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

async fn begin(
    app: &Arc<App>,
    spec: &Arc<Spec>,
    audit: Option<(Origin, Event)>,
) -> Result<Claim, NotStarted> {
    let since = clock::now();
    let claim = {
        let mut slots = app.jobs.slots();
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
                ended: false,
            },
        );
        Claim(Arc::clone(app), Arc::clone(spec))
    };
    let mut state = app
        .store
        .directory()
        .job(&spec.name)
        .map(|s| JobState::clone(s))
        .unwrap_or_default();
    state.name.clone_from(&spec.name);
    state.last_started_at = Some(since);
    state.last_outcome = None;
    app.store
        .put_job(state, audit)
        .await
        .map_err(NotStarted::Store)?;
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
            Ok(Ok(())) => ("success", None),
            Ok(Err(why)) => ("failure", Some(why)),
            Err(_) => ("timeout", Some(format!("not done after {:?}", spec.timeout))),
        },
        _ = phase.wait_for(|phase| *phase == Phase::Interrupting) => {
            app.jobs.interrupted.lock().unwrap_or_else(PoisonError::into_inner).push(spec.name.clone());
            ("interrupted", Some("the server stopped".to_owned()))
        }
    };
    if let Some(slot) = app.jobs.slots().get_mut(&spec.name) {
        slot.ended = true;
    }
    let now = clock::now();
    app.metrics.job_run(&spec.name, outcome);
    match &error {
        None => app.metrics.job_succeeded(&spec.name, now.unix_timestamp()),
        Some(why) => tracing::error!("job {}: {outcome}: {why}", spec.name),
    }
    let mut state = app
        .store
        .directory()
        .job(&spec.name)
        .map(|s| JobState::clone(s))
        .unwrap_or_default();
    state.last_took_ms = i64::try_from(began.elapsed().as_millis()).ok();
    let audit = ended(&mut state, now, outcome, error);
    // a hold that came during the run is waited for; a stop during the hold leaves the run open
    loop {
        match app.store.put_job(state.clone(), audit.clone()).await {
            Err(Error::Held(_)) if *app.jobs.phase.borrow() == Phase::Serving => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(why) => return tracing::error!("job {}: its end is not written: {why}", spec.name),
            Ok(_) => return,
        }
    }
}

/// Puts the end into `state`; the row for the audit log when this is the first run that did not succeed.
fn ended(
    state: &mut JobState,
    at: OffsetDateTime,
    outcome: &str,
    error: Option<String>,
) -> Option<(Origin, Event)> {
    let first = state.consecutive_failures == 0 && outcome != "success";
    state.last_finished_at = Some(at);
    state.last_outcome = Some(outcome.to_owned());
    state.consecutive_failures = if outcome == "success" {
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

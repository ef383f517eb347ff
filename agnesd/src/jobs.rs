//! The scheduled jobs: what there is, what runs, whether more may start.
//!
//! Always true: a job has one slot, so it never runs twice at once; while paused or stopping no slot is given.
//!
//! Does not: start, perform or record a run (`scheduler` does).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use agnes_config::{Job, Settings};
use agnes_store::jobs::JobState;
use agnes_store::{Error, clock};
use axum::Router;
use time::OffsetDateTime;
use tokio::sync::watch;

mod due;

use due::{Last, Rhythm};

/// How long the ends of interrupted runs may take to be written.
const RECORDING: Duration = Duration::from_secs(3);

/// What a job does.
#[derive(Debug)]
pub(crate) enum Act {
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
    pub(crate) timeout: Duration,
    retries: u32,
    pub(crate) act: Act,
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
pub(crate) enum Phase {
    Serving,
    Stopping,
    Interrupting,
}

/// A run, until its end is written.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) since: OffsetDateTime,
    /// The last run whose end is known to stay: the one before, or this one once its end is kept because writes are held.
    pub(crate) last: JobState,
    /// It ended, and its end is being written.
    pub(crate) ended: bool,
}

impl Slot {
    /// Since when it runs, for whoever asks how jobs went: until its end is known to stay.
    pub(crate) fn running_since(&self) -> Option<OffsetDateTime> {
        (self.last.last_started_at != Some(self.since)).then_some(self.since)
    }
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
    pub(crate) interrupted: Mutex<Vec<String>>,
    paused: watch::Sender<bool>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) router: OnceLock<Router>,
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

    /// Whether no job starts until somebody says so.
    pub(crate) fn is_paused(&self) -> bool {
        *self.paused.borrow()
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

    pub(crate) fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn may_start(&self) -> bool {
        !*self.paused.borrow() && *self.phase.borrow() == Phase::Serving
    }
}

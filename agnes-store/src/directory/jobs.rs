//! How jobs last went, as it is known in memory.
//!
//! Always true: a name leads to the last run.
//!
//! Does not: change the engine's table (`jobs.rs` one level up does).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Directory;

/// The last run of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// The job's name.
    pub name: String,
    /// When it last began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_started_at: Option<OffsetDateTime>,
    /// When it last ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_finished_at: Option<OffsetDateTime>,
    /// `success`, `degraded`, `failure`, `timeout`, `interrupted`; `None` from the start of a run until its end is known.
    pub last_outcome: Option<String>,
    /// Why it did not succeed; what is left to do when it is `degraded`.
    pub last_error: Option<String>,
    /// How long it ran, in milliseconds.
    pub last_took_ms: Option<i64>,
    /// How often in a row it did not succeed.
    pub consecutive_failures: i64,
}

impl Directory {
    pub(crate) fn put_job(&mut self, state: JobState) -> Arc<JobState> {
        let state = Arc::new(state);
        self.jobs.insert_mut(state.name.clone(), Arc::clone(&state));
        state
    }
}

impl JobState {
    /// Whether a run began whose end was never written: it runs, or a kill cut it off.
    pub fn is_open(&self) -> bool {
        self.last_started_at.is_some() && self.last_outcome.is_none()
    }
}

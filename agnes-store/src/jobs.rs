//! How jobs last went.
//!
//! Always true: a run is noted when it begins and when it ends, so that a run that a kill cut off is known at the next start.
//!
//! Does not: run anything or know when something is due.

use std::sync::Arc;

use duckdb::params;
use serde::Serialize;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
use crate::writer::WhileHeld;
use crate::{Result, Store, optional_timestamp};

/// The last run of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobState {
    /// The job's name.
    pub name: String,
    /// When it last began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_started_at: Option<OffsetDateTime>,
    /// When it last ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_finished_at: Option<OffsetDateTime>,
    /// `success`, `failure`, `timeout`, `interrupted`; `None` from the start of a run until its end is known.
    pub last_outcome: Option<String>,
    /// Why it did not succeed.
    pub last_error: Option<String>,
    /// How long it ran, in milliseconds.
    pub last_took_ms: Option<i64>,
    /// How often in a row it did not succeed.
    pub consecutive_failures: i64,
}

impl Store {
    /// Writes the state of a job, and in the same transaction the audit row that belongs to it, if any.
    ///
    /// # Errors
    /// As any write; refused while writes are held.
    pub async fn put_job(
        &self,
        state: JobState,
        audit: Option<(Origin, Event)>,
    ) -> Result<Arc<JobState>> {
        self.writer
            .act(WhileHeld::Refuse, move |txn| {
                let values = params![
                    optional_timestamp(state.last_started_at),
                    optional_timestamp(state.last_finished_at),
                    state.last_outcome,
                    state.last_error,
                    state.last_took_ms,
                    state.consecutive_failures,
                    state.name
                ];
                let sql = if txn.directory.job(&state.name).is_some() {
                    "UPDATE jobs SET last_started_at = ?, last_finished_at = ?, last_outcome = ?, last_error = ?, last_took_ms = ?, consecutive_failures = ? WHERE name = ?"
                } else {
                    "INSERT INTO jobs (last_started_at, last_finished_at, last_outcome, last_error, last_took_ms, consecutive_failures, name) VALUES (?, ?, ?, ?, ?, ?, ?)"
                };
                txn.execute(sql, values)?;
                if let Some((origin, event)) = &audit {
                    txn.audit(origin, event.clone());
                }
                Ok(txn.directory.put_job(state.clone()))
            })
            .await
    }
}

impl JobState {
    /// Whether a run began whose end was never written: it runs, or a kill cut it off.
    pub fn is_open(&self) -> bool {
        self.last_started_at.is_some() && self.last_outcome.is_none()
    }
}

impl crate::Directory {
    pub(crate) fn put_job(&mut self, state: JobState) -> Arc<JobState> {
        let state = Arc::new(state);
        self.jobs.insert_mut(state.name.clone(), Arc::clone(&state));
        state
    }
}

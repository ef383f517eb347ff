//! How jobs last went.
//!
//! Always true: a run is noted when it begins and when it ends, so that a run that a kill cut off is known at the next start.
//!
//! Does not: run anything or know when something is due.

use std::sync::Arc;

use duckdb::params;

use crate::audit::{Event, Origin};
pub use crate::directory::jobs::JobState;
use crate::writer::WhileHeld;
use crate::{Result, Store, optional_timestamp};

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

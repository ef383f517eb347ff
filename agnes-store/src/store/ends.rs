//! Ends of job runs that may not be written yet, because writes are held: kept in a file beside the hold's.
//!
//! Always true: what is kept survives a kill; it is used for the very run that it is about, and forgotten once the database has
//! it.
//!
//! Does not: write the database, know what a run did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;
use crate::directory::jobs::JobState;
use crate::engine::durable;
use crate::{Error, Result};

/// Its name in the run directory.
const FILE: &str = "job-ends.json";

/// By job.
type Ends = BTreeMap<String, JobState>;

/// `$DATA_DIR/run/job-ends.json`.
#[derive(Debug)]
pub(crate) struct JobEnds {
    path: PathBuf,
    kept: Mutex<Ends>,
}

impl JobEnds {
    /// As the last process left it. What does not parse is told and counts as nothing.
    pub(super) fn in_dir(run_dir: &Path) -> Self {
        let path = run_dir.join(FILE);
        let read = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ends::new()),
            Err(e) => Err(e),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::from),
        };
        let kept = read.unwrap_or_else(|e| {
            tracing::warn!(
                "{}: {e}: runs that ended while writes were held are called interrupted",
                path.display()
            );
            Ends::new()
        });
        Self {
            path,
            kept: Mutex::new(kept),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Ends> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocking.
    fn change(&self, change: impl FnOnce(&mut Ends) -> bool) -> Result<()> {
        let mut kept = self.kept();
        let mut next = kept.clone();
        if !change(&mut next) {
            return Ok(());
        }
        let written = if next.is_empty() {
            durable::remove(&self.path)
        } else {
            serde_json::to_vec(&next)
                .map_err(std::io::Error::from)
                .and_then(|json| durable::write(&self.path, &json))
        };
        // known in this process also when the file cannot be written
        *kept = next;
        written.map_err(|e| Error::told(format!("{}: {e}", self.path.display())))
    }
}

impl Store {
    /// Keeps how a run ended, for as long as [`Store::put_job`] is refused because writes are held.
    ///
    /// # Errors
    /// When it is not on the disk: a start after a stop calls the run interrupted.
    pub async fn keep_job_end(&self, end: JobState) -> Result<()> {
        self.change_job_ends(move |ends| {
            ends.insert(end.name.clone(), end);
            true
        })
        .await
    }

    /// The end of the run that is open in `open`, if it was kept.
    pub fn kept_job_end(&self, open: &JobState) -> Option<JobState> {
        let kept = self.ends.kept();
        let end = kept.get(&open.name)?;
        let same = open.is_open() && end.last_started_at == open.last_started_at;
        same.then(|| end.clone())
    }

    /// The database has it.
    ///
    /// # Errors
    /// When the file stays: it is about a run that is no longer open then, and does nothing.
    pub async fn forget_job_end(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.change_job_ends(move |ends| ends.remove(&name).is_some())
            .await
    }

    async fn change_job_ends(
        &self,
        change: impl FnOnce(&mut Ends) -> bool + Send + 'static,
    ) -> Result<()> {
        let ends = Arc::clone(&self.ends);
        tokio::task::spawn_blocking(move || ends.change(change))
            .await
            .map_err(|crash| Error::Engine(format!("keeping a run's end ended: {crash}")))?
    }
}

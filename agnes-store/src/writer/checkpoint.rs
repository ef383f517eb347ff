//! Folding the write-ahead log into the file, on the writer's thread.
//!
//! Always true: it is not begun on a disk that has no room for it or takes no write: one that fails half-way costs the
//! database, for the engine gives it up; the log keeps every acknowledged write until there is room. The engine itself never
//! begins one while it serves (`engine/attach.rs`).
//!
//! Does not: keep the timer (a job does).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::State;
use crate::engine::durable;
use crate::engine::lock::beside;
use crate::engine::room;
use crate::{Error, Result};

/// A log that is longer is folded in without waiting for the timer: a start would have to replay it.
const LONG_BYTES: u64 = 16 << 20;

/// After one that failed the next is not tried before.
const AGAIN: Duration = Duration::from_secs(30);

impl State {
    /// Folds the log in, after the reads that are under way: without FORCE the engine refuses now and then while there are
    /// any.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        let log = self.log();
        let directory = self.file.parent().unwrap_or(Path::new("."));
        room::for_checkpoint(directory, &self.file, &log).map_err(|e| {
            Error::told(format!(
                "checkpoint {}: {e}; it was not begun",
                self.file.display()
            ))
        })?;
        let begun = Instant::now();
        self.connection.execute_batch("FORCE CHECKPOINT agnes")?;
        self.published.took("checkpoint", begun);
        Ok(())
    }

    /// The write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        beside(&self.file, ".wal")
    }

    /// As [`State::checkpoint`], when the log has grown long.
    pub(super) fn checkpoint_when_long(&mut self) {
        let long = durable::bytes(&self.log()).is_ok_and(|bytes| bytes > LONG_BYTES);
        let lost = self.published.lost.borrow().is_some();
        if !long || lost || self.refused.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.refused = None;
        if let Err(why) = self.checkpoint() {
            self.refused = Some(Instant::now());
            self.look_after(&why);
            tracing::error!("store: the write-ahead log is long and stays: {why}");
        }
    }
}

//! Whether the store can be written, found out by writing.
//!
//! Always true: a write that the engine keeps in memory proves nothing about the disk, so the disk is tried beside it; after a
//! commit that failed only one that succeeds counts; one probe at a time: a disk that hangs costs one thread, not all.
//!
//! Does not: choose how often.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Store;
use crate::engine::room;
use crate::writer::State;
use crate::{Error, Result, clock};

impl Store {
    /// Whether a write would succeed: one is made and rolled back, and the disk takes and gives back a small file (S11). Works
    /// while writes are held.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn probe(&self) -> Result<()> {
        let one = Arc::clone(&self.probing)
            .try_lock_owned()
            .map_err(|_| Error::Engine("the probe before has not ended".to_owned()))?;
        let directory = self.options.state_dir.clone();
        let tried = tokio::task::spawn_blocking(move || {
            let tried = room::trial(&directory, "probe");
            (
                one,
                tried.map_err(|e| format!("{}: {e}", directory.display())),
            )
        });
        let (one, tried) = tried
            .await
            .map_err(|crash| Error::Engine(format!("a probe ended: {crash}")))?;
        tried.map_err(Error::told)?;
        self.writer
            .alone(move |state| {
                let _one = one;
                if state.published.failing.load(Ordering::Acquire) {
                    commits(state)
                } else {
                    rolls_back(state)
                }
            })
            .await
    }

    /// Returns when the engine has given the database up, with why: it has to be opened anew, by another process.
    pub async fn lost(&self) -> String {
        let mut lost = self.published.lost.subscribe();
        match lost.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // the sender is ours
            Err(_) => std::future::pending().await,
        }
    }

    /// Writes, reads back and deletes one value, each durable and each seen by another connection. Works while held.
    ///
    /// # Errors
    /// Which of the three failed.
    pub async fn canary(&self) -> Result<()> {
        let value = crate::Id::new().to_string();
        let written = value.clone();
        self.writer
            .alone(move |state| {
                let now = clock::now();
                // one that a full disk kept from deleting its value
                state.connection.execute(
                    "DELETE FROM settings WHERE key LIKE 'canary-%' AND updated_at < ?",
                    [crate::timestamp(now - time::Duration::HOUR)],
                )?;
                let values = duckdb::params![written, crate::timestamp(now)];
                state.connection.execute(
                    "INSERT INTO settings (key, value, updated_at, updated_by) VALUES ('canary-' || ?1, ?1, ?2, 'server')",
                    values,
                )?;
                Ok(())
            })
            .await?;
        let wanted = value.clone();
        let read = self
            .read(move |connection| {
                Ok(connection.query_row(
                    "SELECT count(*) FROM settings WHERE key = 'canary-' || ?1 AND value = ?1",
                    [wanted],
                    |row| row.get::<_, i64>(0),
                )?)
            })
            .await;
        let deleted = self
            .writer
            .alone(move |state| {
                let sql = "DELETE FROM settings WHERE key = 'canary-' || ?1";
                Ok(state.connection.execute(sql, [value])?)
            })
            .await;
        match (read?, deleted?) {
            (1, 1) => Ok(()),
            (read, deleted) => Err(Error::Engine(format!(
                "canary: written once, read {read} times, deleted {deleted} times"
            ))),
        }
    }
}

fn rolls_back(state: &State) -> Result<()> {
    let connection = &state.connection;
    let begun = Instant::now();
    connection.execute_batch("BEGIN TRANSACTION")?;
    let wrote = connection.execute(
        "INSERT INTO settings (key, value, updated_at, updated_by) VALUES ('probe', '', ?, 'server')",
        [crate::timestamp(clock::now())],
    );
    connection.execute_batch("ROLLBACK")?;
    state.published.took("probe", begun);
    Ok(wrote.map(drop)?)
}

/// Changes nothing, and goes through the log all the same.
fn commits(state: &State) -> Result<()> {
    let begun = Instant::now();
    state
        .connection
        .execute("UPDATE audit_head SET seq = seq", [])?;
    state.published.failing.store(false, Ordering::Release);
    state.published.took("probe", begun);
    tracing::info!("store: commits succeed again");
    Ok(())
}

//! What vouches for the audit log: its key, the witness outside, the expiry that leaves an anchor.
//!
//! Always true: what a start has discovered is in the log before the witness moves; one witness is written at a time; a key
//! that cannot be used stops expiry and the witness, never the service.
//!
//! Does not: choose when to expire or to log (jobs do).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Store, expiry};
use crate::audit::anchor::Expired;
use crate::audit::chain::Head;
use crate::audit::key::{KEY, SigningKey};
use crate::audit::witness::{Found, WITNESS, Witness};
use crate::audit::{Event, Origin};
use crate::writer::{Published, WhileHeld};
use crate::{Error, Result, clock};

/// How far the witness may be behind while nobody asks for it.
const WITNESS_EVERY: Duration = Duration::from_secs(5 * 60);

/// The key and the witness of one state directory.
#[derive(Debug)]
pub(crate) struct Proofs {
    key: std::result::Result<Arc<SigningKey>, String>,
    witness: PathBuf,
    written: Mutex<Option<(Instant, Head)>>,
    /// Not in the log yet.
    discovered: Mutex<Vec<Event>>,
}

impl Proofs {
    /// Of a state directory that the caller owns; says what the witness is.
    pub(super) fn load(state_dir: &Path) -> (Self, Found) {
        let key = SigningKey::load_or_make(&state_dir.join(KEY)).map(Arc::new);
        if let Err(why) = &key {
            tracing::error!(
                "audit: {why}; it was not replaced. Until it is put right or removed no row expires and audit.head stays as it is"
            );
        }
        let witness = state_dir.join(WITNESS);
        let found = Witness::read(&witness);
        if let (Found::Sound(witness), Ok(key)) = (&found, &key)
            && witness.signed.public_key != key.public_key()
        {
            tracing::warn!("audit: audit.head was signed by another key than audit.key");
        }
        let proofs = Self {
            key,
            witness,
            written: Mutex::default(),
            discovered: Mutex::default(),
        };
        (proofs, found)
    }

    /// Keeps what has to be written first.
    pub(super) fn discovered(self, events: Vec<Event>) -> Self {
        for event in &events {
            let details = serde_json::Value::Object(event.metadata.clone());
            match event.action {
                "audit.restored" => tracing::warn!(
                    "audit: the database is not the one that audit.head was written for: an older one was put back, or rows were cut off: {details}"
                ),
                action => tracing::error!("audit: {action}: {details}"),
            }
        }
        Self {
            discovered: Mutex::new(events),
            ..self
        }
    }

    fn waiting(&self) -> Vec<Event> {
        lock(&self.discovered).clone()
    }

    fn key(&self) -> Result<Arc<SigningKey>> {
        self.key.clone().map_err(Error::told)
    }

    /// Blocking.
    fn write(&self, published: &Published) -> Result<()> {
        if !lock(&self.discovered).is_empty() {
            return Ok(());
        }
        let key = self.key()?;
        // held while writing: an older head never replaces a newer one
        let mut written = lock(&self.written);
        let head = Head::clone(&published.head.load());
        if written.as_ref().is_none_or(|(_, there)| *there != head) {
            let witness = Witness::of(&head, clock::now(), &key);
            witness
                .write(&self.witness)
                .map_err(|e| Error::told(format!("{}: {e}", self.witness.display())))?;
        }
        *written = Some((Instant::now(), head));
        Ok(())
    }

    fn is_due(&self, published: &Published) -> bool {
        let written = lock(&self.written);
        written.as_ref().is_none_or(|(at, head)| {
            at.elapsed() >= WITNESS_EVERY && *head != **published.head.load()
        })
    }
}

impl Store {
    /// Writes what opening has discovered about the log (`audit.restored`, `audit.damaged`), then the witness.
    pub(super) async fn settle_audit(&self) -> Result<()> {
        let events = self.proofs.waiting();
        if !events.is_empty() {
            self.writer
                .act(WhileHeld::Write, move |txn| {
                    for event in &events {
                        txn.audit(&Origin::server(), event.clone());
                    }
                    Ok(())
                })
                .await?;
            lock(&self.proofs.discovered).clear();
        }
        if let Err(why) = self.write_audit_witness().await {
            tracing::error!("audit: the head was not written down outside the database: {why}");
        }
        Ok(())
    }

    /// Writes the log's head to `$STATE_DIR/audit.head` now, if it has moved.
    ///
    /// # Errors
    /// [`Error::Engine`] when the file cannot be written or there is no key to sign it.
    pub async fn write_audit_witness(&self) -> Result<()> {
        let (proofs, published) = (Arc::clone(&self.proofs), Arc::clone(&self.published));
        tokio::task::spawn_blocking(move || proofs.write(&published))
            .await
            .map_err(|crash| Error::Engine(format!("writing audit.head ended: {crash}")))?
    }

    /// As [`Store::write_audit_witness`], when the last time is five minutes ago. Cheap to call often.
    ///
    /// # Errors
    /// As there.
    pub async fn keep_audit_witness(&self) -> Result<()> {
        // without a key it was said at the start, once
        if self.proofs.key.is_err() || !self.proofs.is_due(&self.published) {
            return Ok(());
        }
        self.write_audit_witness().await
    }

    /// Says the log's head in the server's own log, where no writer of the database can change it.
    pub fn log_audit_head(&self) {
        let (seq, hash) = self.audit_head();
        tracing::info!(seq, hash, "audit head");
    }

    /// Removes the audit rows that are older than `keep_days`, from the beginning up to the first younger one, and leaves a
    /// signed anchor and a row `audit.expired`. The newest row stays. That `audit.head` could not be written afterwards is in
    /// what comes back.
    ///
    /// # Errors
    /// As any write; [`Error::Engine`] when there is no key to sign the anchor, and nothing is removed then.
    pub async fn expire_audit(&self, keep_days: u32) -> Result<Expired> {
        let key = self.proofs.key()?;
        let mut expired = self
            .act(move |txn| {
                let cutoff = txn.now - time::Duration::days(keep_days.into());
                expiry::expire(txn, cutoff, &key, keep_days)
            })
            .await?;
        if expired.rows > 0 {
            // the rows are gone: to call that failed would be untrue, and to try it again would find nothing
            let written = self.write_audit_witness().await;
            expired.witness_behind = written.err().map(|why| why.to_string());
        }
        Ok(expired)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

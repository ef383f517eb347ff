//! The open store: what the server holds.
//!
//! Always true: what is asked often comes from memory and never waits for the engine; closing finishes what was accepted,
//! folds the WAL in and lets the file go.
//!
//! Does not: open the file itself (`engine` does), know the acts (the aggregates' files do).

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

use crate::audit::query::{self, Cursor, Filter};
use crate::audit::{By, Event, Origin, Row, Standing};
use crate::audit::{resume, verify};
use crate::directory::{Directory, load};
use crate::engine::error::OpenError;
use crate::engine::{Engine, Options};
use crate::hold::{Hold, HoldFile};
use crate::last_uses::LastUses;
use crate::observe::Observer;
use crate::readers::Readers;
use crate::refusals::{Refusals, Which};
use crate::writer::{Published, State, Txn, WhileHeld, Writer};
use crate::{Error, Result, clock};

mod ends;
mod expiry;
mod probe;
mod proofs;

use ends::JobEnds;
use proofs::Proofs;

/// One open database.
#[derive(Debug)]
pub struct Store {
    // before the engine: threads end while the engine is there
    pub(crate) writer: Writer,
    readers: Arc<Readers>,
    pub(crate) published: Arc<Published>,
    pub(crate) last_uses: LastUses,
    refusals: Refusals,
    proofs: Arc<Proofs>,
    ends: Arc<JobEnds>,
    pub(crate) engine: Engine,
    pub(crate) options: Options,
    /// Held by the probe that is under way.
    probing: Arc<tokio::sync::Mutex<()>>,
}

/// How many things there are, for status and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of the database file.
    pub file_bytes: u64,
    /// Users, system users included.
    pub users: usize,
    /// Rows of the audit log since the beginning.
    pub audit_rows: i64,
}

impl Store {
    /// Opens the database below `options.state_dir`, migrates it and reads what is held in memory. `run_dir` is where the
    /// hold is. Blocking.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left locked.
    pub fn open(options: &Options, run_dir: &Path) -> std::result::Result<Self, OpenError> {
        let engine = Engine::open(options)?;
        Self::over(engine, options.clone(), run_dir).map_err(|why| OpenError::Contents {
            path: options.state_dir.join("system.duckdb"),
            why: why.to_string(),
        })
    }

    fn over(engine: Engine, options: Options, run_dir: &Path) -> Result<Self> {
        let connection = engine.connect()?;
        let hold_file = HoldFile::in_dir(run_dir).map_err(Error::told)?;
        let published = Arc::new(Published::default());
        published
            .directory
            .store(Arc::new(load::load(&connection)?));
        let (proofs, witness) = Proofs::load(&options.state_dir);
        let resumed = resume::resume(&connection, &witness)?;
        let proofs = proofs.discovered(resumed.discovered);
        published.head.store(Arc::new(resumed.head));
        published
            .hold
            .store(hold_file.read().map_err(Error::told)?.map(Arc::new));
        let writer = Writer::start(State {
            connection,
            published: Arc::clone(&published),
            hold_file,
            file: engine.path().to_owned(),
            refused: None,
        })?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers::new(engine.connect()?)),
            published,
            last_uses: LastUses::default(),
            refusals: Refusals::default(),
            proofs: Arc::new(proofs),
            ends: Arc::new(JobEnds::in_dir(run_dir)),
            engine,
            options,
            probing: Arc::default(),
        })
    }

    /// What is known now; a value that does not change while it is looked at.
    pub fn directory(&self) -> Arc<Directory> {
        self.published.directory.load_full()
    }

    /// The schema's version.
    pub fn schema(&self) -> u32 {
        self.engine.schema()
    }

    /// What happened while the file was opened, a line each.
    pub fn notes(&self) -> &[String] {
        self.engine.notes()
    }

    /// Tells `observer` of every row and of the engine's work from here on; the first one that is given stays.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let _ = self.published.observer.set(observer);
    }

    /// An act of a caller: refused while writes are held.
    pub(crate) async fn act<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        self.writer.act(WhileHeld::Refuse, work).await
    }

    /// The same for a caller, who still has to be what it was let in as when its turn comes.
    pub(crate) async fn act_of<T, F>(&self, standing: Option<Standing>, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        self.act(move |txn| {
            if let Some(Standing { user, epoch, by }) = standing {
                let user = txn.user(user)?;
                let shown = match by {
                    By::Session(id) => txn.directory.session(id).is_some(),
                    By::Token(id) => {
                        let token = txn.directory.tokens.get(&id);
                        token.is_some_and(|token| token.is_valid(txn.now))
                    }
                    By::Other => true,
                };
                if user.disabled || user.epoch != epoch || !shown {
                    return Err(Error::Credential);
                }
            }
            work(txn)
        })
        .await
    }

    /// The group Admin, the roles that the program asks for and the scheduler's user: made when they are not there. Before
    /// them, what opening has discovered about the audit log becomes rows.
    ///
    /// # Errors
    /// As any write.
    pub async fn ensure(&self, roles: &'static [(&'static str, &'static str)]) -> Result<()> {
        self.settle_audit().await?;
        self.ensure_built_in(roles).await?;
        self.ensure_scheduler().await.map(drop)
    }

    /// Adds a row to the audit log that is about no other write.
    ///
    /// # Errors
    /// As any write.
    pub async fn record(&self, origin: Origin, event: Event) -> Result<()> {
        self.writer
            .act(WhileHeld::Write, move |txn| {
                txn.audit(&origin, event.clone());
                Ok(())
            })
            .await
    }

    /// The same about an act of a caller that is no write of the database: refused while writes are held, and when the caller is
    /// not any more what it was let in as. Who gets `Ok` may act.
    ///
    /// # Errors
    /// As any write; after [`Error::Lost`] it is not known whether the row is there.
    pub async fn record_act(&self, origin: Origin, event: Event) -> Result<()> {
        self.act_of(origin.standing, move |txn| {
            txn.audit(&origin, event.clone());
            Ok(())
        })
        .await
    }

    /// Counts a refused credential; it becomes a row when its minute is over (see [`Store::write_refusals`]).
    pub fn refused(&self, origin: &Origin, kind: &'static str, resource: &str) {
        self.refusals.count(origin, kind, resource);
    }

    /// Counts a call that its caller, who is known, may not make; a row as [`Store::refused`] makes them, of each caller.
    pub fn denied(&self, origin: &Origin, resource: &str) {
        self.refusals.count_denied(origin, resource);
    }

    /// Writes the refusals whose minute is over; nothing while writes are held.
    ///
    /// # Errors
    /// As any write; what could not be written is kept.
    pub async fn write_refusals(&self) -> Result<()> {
        if self.held().is_some() || !self.refusals.are_due(clock::now()) {
            return Ok(());
        }
        self.flush_refusals(Which::Over).await
    }

    async fn flush_refusals(&self, which: Which) -> Result<()> {
        let taken = self.refusals.take(clock::now(), which);
        if taken.is_empty() {
            return Ok(());
        }
        let again = taken.clone();
        let written = self.act(move |txn| taken.write(txn)).await;
        if written.is_err() {
            self.refusals.put_back(again);
        }
        written
    }

    /// A page of the audit log, the last written first, and the cursor of the next page. Refusals that are no rows yet stand
    /// before all others. One that is written between two pages may be on both, never on neither.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn audit_page(
        &self,
        filter: Filter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<Row>, Option<Cursor>)> {
        let limit = limit.clamp(1, query::LARGEST_PAGE);
        let (seen, before) = match cursor {
            Cursor::Waiting(seen) => (Some(seen), None),
            Cursor::Before(seq) => (None, Some(seq)),
        };
        let mut rows = Vec::new();
        if let Some(seen) = seen {
            let waiting = self.refusals.rows().into_iter();
            let mut waiting = waiting.filter(|row| filter.matches(row)).skip(seen);
            rows.extend(waiting.by_ref().take(limit));
            if waiting.next().is_some() {
                let seen = seen + rows.len();
                return Ok((rows, Some(Cursor::Waiting(seen))));
            }
        }
        let room = limit - rows.len();
        let stored = if room > 0 {
            self.read(move |connection| query::page(connection, &filter, before, room))
                .await?
        } else {
            Vec::new()
        };
        let full = stored.len() == room;
        let next = stored.last().map(|row| row.seq).filter(|_| full);
        let next = if room == 0 { Some(i64::MAX) } else { next };
        let next = next.map(Cursor::Before);
        rows.extend(stored);
        Ok((rows, next))
    }

    /// Every row of the audit log against the hash before it, the stored head and the witness, while the server runs.
    ///
    /// # Errors
    /// [`Error::Engine`] when it cannot be read at all; what is wrong with it is in the report.
    pub async fn verify_audit(&self) -> Result<verify::Report> {
        let (file, beside) = (self.options.database(), self.options.state_dir.clone());
        self.read(move |connection| Ok(verify::judge_open(connection, &file, &beside)?))
            .await
    }

    /// Reads with a connection of its own, off the runtime's threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&duckdb::Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.readers.permit().await?;
        let readers = Arc::clone(&self.readers);
        let published = Arc::clone(&self.published);
        tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let result = readers.read(work);
            published.took("read", begun);
            if let Err(why) = &result {
                published.note_damage(why);
            }
            result
        })
        .await
        .map_err(|crash| Error::Engine(format!("a reader ended: {crash}")))?
    }

    /// The hold in force.
    pub fn held(&self) -> Option<Hold> {
        self.published.hold.load().as_deref().cloned()
    }

    /// Holds writes: returns when everything accepted before is durable. Holding again under the same id is fine.
    ///
    /// # Errors
    /// [`Error::Held`] by another id; [`Error::Engine`] when the hold cannot be made durable.
    pub async fn hold(&self, hold: Hold) -> Result<Hold> {
        self.writer
            .alone(move |state| {
                if let Some(there) = state.published.hold.load().as_deref() {
                    if there.id == hold.id {
                        return Ok(there.clone());
                    }
                    return Err(Error::Held(there.clone()));
                }
                state.hold_file.write(&hold).map_err(Error::told)?;
                state.published.hold.store(Some(Arc::new(hold.clone())));
                Ok(hold)
            })
            .await
    }

    /// Releases the hold of this id, or any when `id` is `None`; `None` back: nothing was held.
    ///
    /// # Errors
    /// [`Error::Held`] by another id.
    pub async fn release(&self, id: Option<String>) -> Result<Option<Hold>> {
        self.writer
            .alone(move |state| {
                let Some(there) = state.published.hold.load_full() else {
                    return Ok(None);
                };
                if id.is_some_and(|id| id != there.id) {
                    return Err(Error::Held(Hold::clone(&there)));
                }
                state.hold_file.remove().map_err(Error::told)?;
                state.published.hold.store(None);
                Ok(Some(Hold::clone(&there)))
            })
            .await
    }

    /// Folds the WAL into the file.
    ///
    /// # Errors
    /// [`Error::Disk`] when there is no room for it: it was not begun then, and the WAL has everything.
    pub async fn checkpoint(&self) -> Result<()> {
        self.writer.alone(State::checkpoint).await
    }

    /// How much there is. Looks at file sizes by name, never opens the file. Blocking: a mount may hang.
    pub fn figures(&self) -> Figures {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let mut wal = self.engine.path().as_os_str().to_owned();
        wal.push(".wal");
        Figures {
            wal_bytes: size(Path::new(&wal)),
            file_bytes: size(self.engine.path()),
            users: self.directory().users.size(),
            audit_rows: self.published.head.load().seq,
        }
    }

    /// The number and hash of the audit log's last row.
    pub fn audit_head(&self) -> (i64, String) {
        let head = self.published.head.load();
        (head.seq, head.hash.clone())
    }

    /// Removes what has expired: sessions, links and raised limits. Personal tokens stay for their owners to see.
    ///
    /// # Errors
    /// As any write.
    pub async fn expire(&self) -> Result<usize> {
        self.writer
            .act(WhileHeld::Refuse, |txn| {
                let now = txn.now;
                let expired = |at: OffsetDateTime| at <= now;
                let sessions = txn.directory.sessions.values();
                let sessions: Vec<_> = sessions
                    .filter(|session| expired(session.expires_at))
                    .map(|session| session.id)
                    .collect();
                for id in &sessions {
                    txn.remove_session(*id)?;
                }
                let links = txn.directory.links.values();
                let links: Vec<_> = links
                    .filter(|link| expired(link.expires_at))
                    .cloned()
                    .collect();
                for link in &links {
                    txn.remove_link(link)?;
                }
                let raised = txn.expire_raised_limits()?;
                Ok(sessions.len() + links.len() + raised)
            })
            .await
    }

    /// Finishes what was accepted, writes what is buffered, folds the WAL in and lets the file go.
    ///
    /// # Errors
    /// When the WAL could not be folded in: the next start replays it.
    pub async fn close(&self) -> Result<()> {
        let lost = self.published.lost.borrow().is_some();
        if self.held().is_none() && !lost {
            let (uses, refusals) = (
                self.write_last_uses().await,
                self.flush_refusals(Which::All).await,
            );
            for why in [uses.err(), refusals.err()].into_iter().flatten() {
                tracing::warn!("store: what was buffered is lost: {why}");
            }
        }
        let checkpoint = self.checkpoint().await;
        if let Err(why) = self.write_audit_witness().await {
            tracing::error!("audit: the head was not written down outside the database: {why}");
        }
        self.writer.close();
        checkpoint
    }
}

#[cfg(test)]
mod tests;

//! The one thread that writes.
//!
//! Always true: acts that arrive together share one durable commit, and an act is acknowledged only after it. An act that is
//! refused leaves nothing; when the engine refuses a batch, its acts are replayed one by one, so that nobody pays for
//! another's error. The directory and the head of the audit chain move with the commit or not at all.
//!
//! Does not: know what the acts are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use duckdb::Connection;
use tokio::sync::{oneshot, watch};

use crate::audit::chain::Head;
use crate::directory::Directory;
use crate::hold::{Hold, HoldFile};
use crate::observe::Observer;
use crate::{Error, Result};

mod checkpoint;
pub(crate) mod txn;

pub(crate) use txn::Txn;

/// The most acts that share a commit: beyond it a batch takes longer than its commit and waiting grows for nothing.
const BATCH: usize = 256;

/// The part of the last commit's time that is waited for those who were in it.
const PATIENCE: u32 = 4;
/// And never longer, however slow the disk is.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// What readers see, exchanged whole after each commit.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) directory: ArcSwap<Directory>,
    pub(crate) head: ArcSwap<Head>,
    pub(crate) hold: ArcSwapOption<Hold>,
    pub(crate) observer: OnceLock<Arc<dyn Observer>>,
    /// The last commit failed inside the engine.
    pub(crate) failing: AtomicBool,
    /// Why the engine has given the database up.
    pub(crate) lost: watch::Sender<Option<String>>,
}

impl Published {
    /// Tells the observer, if there is one, how long the engine took.
    pub(crate) fn took(&self, kind: &'static str, begun: Instant) {
        if let Some(observer) = self.observer.get() {
            observer.engine_took(kind, begun.elapsed());
        }
    }
}

/// The way to the writer's thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Sender<Message>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Act(Box<dyn Act>),
    /// Something that needs the thread to itself, between two commits.
    Alone(Box<dyn FnOnce(&mut State) + Send>),
    Stop,
}

/// What the thread owns.
pub(crate) struct State {
    pub(crate) connection: Connection,
    pub(crate) published: Arc<Published>,
    pub(crate) hold_file: HoldFile,
    /// The database.
    pub(crate) file: PathBuf,
    /// When a checkpoint for the log's size was last tried and failed.
    pub(crate) refused: Option<Instant>,
}

/// Whether a hold stops an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhileHeld {
    /// Callers' acts.
    Refuse,
    /// What the server itself has to write to be able to serve.
    Write,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(state: State) -> Result<Self> {
        let (queue, messages) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(state, &messages))
            .map_err(|e| Error::Engine(format!("start the writer's thread: {e}")))?;
        Ok(Self {
            queue,
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// Hands `work` to the thread and waits for the commit that it is in. `work` may run more than once; what it returned in
    /// the committed run comes back.
    pub(crate) async fn act<T, F>(&self, while_held: WhileHeld, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let act = Closure {
            work,
            while_held,
            result: Err(Error::Closed),
            reply,
        };
        self.queue
            .send(Message::Act(Box::new(act)))
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Runs `work` on the thread while nothing else is written.
    pub(crate) async fn alone<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut State) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = move |state: &mut State| {
            let result = work(state);
            if let Err(why) = &result {
                state.look_after(why);
            }
            let _ = reply.send(result);
        };
        self.queue
            .send(Message::Alone(Box::new(work)))
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Takes no more acts once what is queued is done.
    pub(crate) fn close(&self) {
        let _ = self.queue.send(Message::Stop);
    }

    /// Finishes what is queued and ends the thread. Blocking.
    fn stop(&self) {
        self.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(mut state: State, messages: &Receiver<Message>) {
    let mut last = Committed::default();
    while let Ok(first) = messages.recv() {
        let (batch, other) = gather(first, messages, last);
        let (acts, begun) = (batch.len(), Instant::now());
        commit(&state, batch);
        last = Committed {
            acts,
            took: begun.elapsed(),
        };
        state.checkpoint_when_long();
        match other {
            Some(Message::Alone(work)) => work(&mut state),
            Some(Message::Stop) => return,
            _ => {}
        }
    }
}

/// The commit before.
#[derive(Debug, Clone, Copy, Default)]
struct Committed {
    acts: usize,
    took: Duration,
}

/// The acts that are there, up to the first message that is none, which is returned too.
///
/// What came while the last commit was under way is there already. Whoever was answered by it is likely to come again at
/// once: so many are waited for, at most a part of the time that it took. One that writes alone never waits.
fn gather(
    first: Message,
    messages: &Receiver<Message>,
    last: Committed,
) -> (Vec<Box<dyn Act>>, Option<Message>) {
    let patience = (last.took / PATIENCE).min(LONGEST_WAIT);
    let until = Instant::now() + patience;
    let mut batch = Vec::new();
    let mut next = first;
    loop {
        match next {
            Message::Act(act) => batch.push(act),
            other => return (batch, Some(other)),
        }
        if batch.len() >= BATCH {
            return (batch, None);
        }
        let came = if batch.len() < last.acts {
            let left = until.saturating_duration_since(Instant::now());
            messages.recv_timeout(left).ok()
        } else {
            messages.try_recv().ok()
        };
        match came {
            Some(message) => next = message,
            None => return (batch, None),
        }
    }
}

/// Commits the acts together, or else one by one.
fn commit(state: &State, mut batch: Vec<Box<dyn Act>>) {
    if state.published.hold.load().is_some() {
        let (go, stay): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|act| act.while_held() == WhileHeld::Write);
        let hold = state.published.hold.load_full();
        for act in stay {
            let hold = hold.as_deref().cloned();
            act.settle(hold.map_or(Ok(()), |hold| Err(Error::Held(hold))));
            if let Some(observer) = state.published.observer.get() {
                observer.held_write_refused();
            }
        }
        batch = go;
    }
    if batch.is_empty() {
        return;
    }
    match attempt(state, &mut batch) {
        Ok(()) => batch.into_iter().for_each(|act| act.settle(Ok(()))),
        Err(why) if batch.len() == 1 => {
            tracing::warn!("store: a write was rolled back: {why}");
            batch
                .into_iter()
                .for_each(|act| act.settle(Err(why.clone())));
        }
        Err(why) => {
            tracing::warn!(
                acts = batch.len(),
                "store: a batch is replayed singly: {why}"
            );
            for act in batch {
                let mut single = vec![act];
                let result = attempt(state, &mut single);
                single
                    .into_iter()
                    .for_each(|act| act.settle(result.clone()));
            }
        }
    }
}

/// One transaction over all of the acts. An act that is refused before it wrote anything takes no part in it.
fn attempt(state: &State, batch: &mut [Box<dyn Act>]) -> Result<()> {
    let connection = &state.connection;
    let begun = Instant::now();
    let directory = Directory::clone(&state.published.directory.load());
    let head = Head::clone(&state.published.head.load());
    connection.execute_batch("BEGIN TRANSACTION")?;
    let mut txn = Txn::new(connection, directory, head);
    let mut all = || -> Result<bool> {
        for act in batch.iter_mut() {
            txn.run(act.as_mut())?;
        }
        txn.finish()
    };
    let finished = all().and_then(|wrote| {
        connection.execute_batch(if wrote { "COMMIT" } else { "ROLLBACK" })?;
        Ok(wrote)
    });
    match finished {
        Ok(true) => {
            state.published.failing.store(false, Ordering::Release);
            state.published.took("commit", begun);
            if let Some(observer) = state.published.observer.get() {
                txn.tell(observer.as_ref());
            }
            let (directory, head) = txn.into_parts();
            state.published.directory.store(Arc::new(directory));
            state.published.head.store(Arc::new(head));
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(why) => {
            // a transaction that the engine ended by itself has nothing left to roll back
            let _ = connection.execute_batch("ROLLBACK");
            if why.is_of_the_store() {
                state.published.failing.store(true, Ordering::Release);
                state.look_after(&why);
            }
            Err(why)
        }
    }
}

impl State {
    /// After an error: whether the engine still has the database. It gives it up when a sync or a checkpoint fails, and
    /// nothing brings it back in this process; its words alone are not believed, for they may quote somebody's.
    fn look_after(&self, why: &Error) {
        let Error::Lost(why) = why else { return };
        let asked = self
            .connection
            .query_row("SELECT seq FROM audit_head", [], |row| row.get::<_, i64>(0));
        if asked.is_err() && self.published.lost.borrow().is_none() {
            tracing::error!("store: the engine has given the database up: {why}");
            self.published.lost.send_replace(Some(why.clone()));
        }
    }
}

/// An act on its way: runs as often as needed, is answered once.
pub(crate) trait Act: Send {
    fn while_held(&self) -> WhileHeld;
    /// Runs the work; `Err` is why it was refused.
    fn attempt(&mut self, txn: &mut Txn<'_>) -> Result<()>;
    /// Answers: with what the work returned, or with why the commit failed.
    fn settle(self: Box<Self>, committed: Result<()>);
}

struct Closure<T, F> {
    work: F,
    while_held: WhileHeld,
    result: Result<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Act for Closure<T, F>
where
    T: Send,
    F: FnMut(&mut Txn<'_>) -> Result<T> + Send,
{
    fn while_held(&self) -> WhileHeld {
        self.while_held
    }

    fn attempt(&mut self, txn: &mut Txn<'_>) -> Result<()> {
        self.result = (self.work)(txn);
        match &self.result {
            Ok(_) => Ok(()),
            Err(why) => Err(why.clone()),
        }
    }

    fn settle(self: Box<Self>, committed: Result<()>) {
        // nobody waits any more: the act stands all the same
        let _ = self.reply.send(committed.and(self.result));
    }
}

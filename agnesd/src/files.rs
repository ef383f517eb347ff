//! The files that callers bring and fetch: what there is, in memory, over one directory.
//!
//! Always true: an id names one whole file or none. A file appears by one rename, and only when the audit log says who brought
//! it; it goes when the log says who removed it. What a kill interrupts between the two is finished or taken back by the next
//! start, as the log has it. A reader that has opened a file keeps it, whatever becomes of its id.
//!
//! Does not: know HTTP or who may do what; keep what was replaced.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agnes_store::{Error as StoreError, Id, clock};
use time::OffsetDateTime;
use tokio::sync::{Mutex, Semaphore};

mod directory;
mod id;
mod name;
mod part;
mod shelf;
#[cfg(test)]
mod tests;

use crate::shares::{Share, Shares};
use directory::Directory;
pub(crate) use id::DataId;
pub(crate) use name::Name;
pub(crate) use part::Part;
use part::{Whole, beside};
use shelf::{Found, Shelf};

/// The action of the row about a file that was brought.
pub(crate) const PUBLISHED: &str = "upload.published";
/// The action of the row about one that was removed.
pub(crate) const DELETED: &str = "data.deleted";

/// Files that are received at once; others wait. What bounds the memory that uploads take.
const AT_ONCE: usize = 64;
/// Of one principal, so that nobody keeps all others from bringing any.
const EACH: usize = 32;
/// How often whoever has that many looks whether one of them is there.
const AGAIN: Duration = Duration::from_millis(50);
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// What it is called, here and on the disk.
    pub(crate) name: Name,
    /// Its length.
    pub(crate) bytes: u64,
}

/// Why something was not done; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// Too many files are being received.
    #[error("too many files are being received")]
    Busy,
    /// The audit log took no row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error("files: {0}")]
    Disk(#[from] std::io::Error),
}

/// What a kill left between a file and its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// Published, if there is a row.
    Arriving(Name),
    /// Removed, if there is one.
    Leaving(Name),
}

/// Whether the audit log has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has.
    Yes,
    /// It has not.
    No,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    shelf: Arc<Shelf>,
    /// Held by who changes what there is; has the highest version that was given.
    changing: Mutex<u64>,
    receiving: Arc<Semaphore>,
    shares: Shares,
}

impl Files {
    /// Opens the directory `path`, making it when it is missing, and removes what uploads that were cut off have left there.
    /// Blocking.
    ///
    /// # Errors
    /// When it cannot be made, opened or read.
    pub(crate) fn open(path: &Path) -> std::io::Result<(Self, Vec<Unsettled>)> {
        Self::over(Directory::open(path)?)
    }

    fn over(directory: Directory) -> std::io::Result<(Self, Vec<Unsettled>)> {
        let Found {
            shelf,
            unsettled,
            last,
        } = Shelf::over(directory)?;
        let files = Self {
            shelf: Arc::new(shelf),
            changing: Mutex::new(last),
            receiving: Arc::new(Semaphore::new(AT_ONCE)),
            shares: Shares::of(EACH),
        };
        Ok((files, unsettled))
    }

    /// Finishes what a kill interrupted, or takes it back; `told`: whether the audit log has its row.
    ///
    /// # Errors
    /// When the disk refuses; the next start tries again.
    pub(crate) async fn settle(&self, one: Unsettled, told: Told) -> std::io::Result<()> {
        let shelf = Arc::clone(&self.shelf);
        beside(move || shelf.settle(&one, told)).await
    }

    /// All there are, by id.
    pub(crate) fn list(&self) -> Vec<Arc<Stored>> {
        self.shelf.list()
    }

    /// Opens the file `id`.
    ///
    /// # Errors
    /// [`Refused::Missing`], or what the disk says.
    pub(crate) async fn read(&self, id: DataId) -> Result<(Arc<Stored>, File), Refused> {
        let shelf = Arc::clone(&self.shelf);
        let read = tokio::task::spawn_blocking(move || shelf.read(&id)).await;
        read.map_err(std::io::Error::other)?
    }

    /// Begins to receive one of `expected` bytes, or more.
    ///
    /// # Errors
    /// [`Refused::Busy`], or what the disk says.
    pub(crate) async fn begin(&self, expected: u64) -> Result<Part, Refused> {
        let permit = Arc::clone(&self.receiving).acquire_owned();
        let permit = tokio::time::timeout(PATIENCE, permit).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Refused::Busy);
        };
        let directory = Arc::clone(&self.shelf.directory);
        Ok(Part::begin(directory, expected, permit).await?)
    }

    /// One of the files that `principal` may bring at once, to be kept until it is there; waits as [`Files::begin`] does.
    ///
    /// # Errors
    /// [`Refused::Busy`].
    pub(crate) async fn share(&self, principal: Id) -> Result<Share, Refused> {
        let taken = async {
            loop {
                if let Some(share) = self.shares.take(principal) {
                    return share;
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        let taken = tokio::time::timeout(PATIENCE, taken).await;
        taken.map_err(|_| Refused::Busy)
    }

    /// Publishes `part` as `id`, in place of what is there, which is returned too. `tell` writes the row: it is given the file's
    /// name and length, and what it replaces. To be run to its end, so by a task of its own.
    ///
    /// # Errors
    /// Nothing was published. After [`StoreError::Lost`] the next start knows whether it was.
    pub(crate) async fn publish<F>(
        &self,
        id: DataId,
        part: Part,
        tell: impl FnOnce(&Stored, Option<&Stored>) -> F,
    ) -> Result<(Arc<Stored>, Option<Arc<Stored>>), Refused>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let Whole { mut sink, sha256 } = part.finish().await?;
        let mut last = self.changing.lock().await;
        let now = clock::now().unix_timestamp_nanos() / 1_000_000;
        *last = u64::try_from(now).unwrap_or_default().max(*last + 1);
        let stored = Stored {
            bytes: sink.bytes,
            name: Name {
                id,
                version: *last,
                sha256,
            },
        };
        let ready = stored.name.ready();
        beside(move || sink.put(&ready)).await?;
        let before = self.shelf.find(&stored.name.id);
        if let Err(why) = tell(&stored, before.as_deref()).await {
            self.take_back(&why, stored.name.ready()).await;
            return Err(why.into());
        }
        let shelf = Arc::clone(&self.shelf);
        let stored = beside(move || shelf.publish(stored.name)).await?;
        Ok((stored, before))
    }

    /// Removes the file `id`; `tell` writes the row. To be run to its end.
    ///
    /// # Errors
    /// As [`Files::publish`]: nothing was removed.
    pub(crate) async fn remove<F>(
        &self,
        id: &DataId,
        tell: impl FnOnce(&Stored) -> F,
    ) -> Result<(), Refused>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let _changing = self.changing.lock().await;
        let stored = self.shelf.find(id).ok_or(Refused::Missing)?;
        let (shelf, mark) = (Arc::clone(&self.shelf), stored.name.leaving());
        beside(move || shelf.directory.mark(&mark)).await?;
        if let Err(why) = tell(&stored).await {
            self.take_back(&why, stored.name.leaving()).await;
            return Err(why.into());
        }
        let shelf = Arc::clone(&self.shelf);
        Ok(beside(move || shelf.let_go(&stored.name)).await?)
    }

    /// Removes what waited for a row that was not written. Where that is not known the next start finds out.
    async fn take_back(&self, why: &StoreError, waiting: String) {
        if matches!(why, StoreError::Lost(_)) {
            return;
        }
        let shelf = Arc::clone(&self.shelf);
        let gone = beside(move || shelf.directory.remove(&waiting)).await;
        if let Err(e) = gone {
            tracing::warn!("files: take back what was refused: {e}; the next start does it");
        }
    }
}

impl Stored {
    /// When it was published.
    pub(crate) fn at(&self) -> OffsetDateTime {
        let nanos = i128::from(self.name.version) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl Unsettled {
    /// The action of the row that settles it, and the version that the row has.
    pub(crate) fn row(&self) -> (&'static str, &Name) {
        match self {
            Self::Arriving(name) => (PUBLISHED, name),
            Self::Leaving(name) => (DELETED, name),
        }
    }
}

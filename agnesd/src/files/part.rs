//! A file that is on its way in.
//!
//! Always true: at most two blocks of it are in memory; it is written and hashed beside the runtime's threads; it has no name
//! under which anybody could get it, and when it is dropped before it is whole nothing is left of it.
//!
//! Does not: publish.

use std::io::{Error, Result, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use super::directory::{Begun, Directory};

/// Written at once, in bytes.
const BLOCK: usize = 256 << 10;

/// After so many bytes the disk is waited for: what is not on it yet is bounded, and a checkpoint of the database on the same
/// disk waits for no gigabytes.
const SYNC_EVERY: u64 = 32 << 20;

/// A file that is being received.
#[derive(Debug)]
pub(crate) struct Part {
    /// What is not yet handed over.
    block: Vec<u8>,
    writer: Writer,
    bytes: u64,
    /// One of those that may be received at once.
    _permit: OwnedSemaphorePermit,
}

/// A file that is whole and on the disk, and has no name yet.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) sink: Sink,
    pub(super) sha256: String,
}

#[derive(Debug)]
enum Writer {
    Idle(Box<Sink>, Vec<u8>),
    Busy(JoinHandle<(Box<Sink>, Vec<u8>, Result<()>)>),
    Failed,
}

/// The file itself.
pub(super) struct Sink {
    directory: Arc<Directory>,
    begun: Begun,
    hash: Context,
    pub(super) bytes: u64,
    unsynced: u64,
}

impl Part {
    pub(super) async fn begin(
        directory: Arc<Directory>,
        expected: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self> {
        let sink = beside(move || Sink::begin(directory, expected)).await?;
        Ok(Self {
            block: Vec::with_capacity(BLOCK),
            writer: Writer::Idle(Box::new(sink), Vec::with_capacity(BLOCK)),
            bytes: 0,
            _permit: permit,
        })
    }

    /// Bytes received.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more.
    ///
    /// # Errors
    /// When the disk does not; also about what was taken before.
    pub(crate) async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.bytes += data.len() as u64;
        while !data.is_empty() {
            let room = BLOCK - self.block.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.block.extend_from_slice(now);
            data = later;
            if self.block.len() == BLOCK {
                self.hand_over().await?;
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<()> {
        let (mut sink, spare) = self.idle().await?;
        let block = std::mem::replace(&mut self.block, spare);
        self.writer = Writer::Busy(spawn_blocking(move || {
            let written = sink.take(&block);
            let mut block = block;
            block.clear();
            (sink, block, written)
        }));
        Ok(())
    }

    /// The writer, as soon as it has done what it was given.
    async fn idle(&mut self) -> Result<(Box<Sink>, Vec<u8>)> {
        match std::mem::replace(&mut self.writer, Writer::Failed) {
            Writer::Idle(sink, spare) => Ok((sink, spare)),
            Writer::Busy(handle) => {
                let (sink, spare, written) = handle.await.map_err(Error::other)?;
                written?;
                Ok((sink, spare))
            }
            Writer::Failed => Err(Error::other("an earlier write failed")),
        }
    }

    pub(super) async fn finish(mut self) -> Result<Whole> {
        let (mut sink, _) = self.idle().await?;
        let block = std::mem::take(&mut self.block);
        beside(move || {
            sink.take(&block)?;
            sink.begun.file.sync_all()?;
            let digest = sink.hash.clone().finish();
            let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
            let sha256 = digits.collect();
            Ok(Whole {
                sink: *sink,
                sha256,
            })
        })
        .await
    }
}

impl Sink {
    fn begin(directory: Arc<Directory>, expected: u64) -> Result<Self> {
        directory.has_room(expected)?;
        Ok(Self {
            begun: directory.begin()?,
            directory,
            hash: Context::new(&SHA256),
            bytes: 0,
            unsynced: 0,
        })
    }

    fn take(&mut self, block: &[u8]) -> Result<()> {
        let bytes = block.len() as u64;
        self.directory.has_room(bytes)?;
        self.begun.file.write_all(block)?;
        self.hash.update(block);
        self.bytes += bytes;
        self.unsynced += bytes;
        if self.unsynced >= SYNC_EVERY {
            self.begun.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Gives it a name.
    pub(super) fn put(&mut self, name: &str) -> Result<()> {
        self.directory.put(&mut self.begun, name)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(name) = self.begun.name.take()
            && let Err(e) = self.directory.remove(&name)
        {
            tracing::warn!(
                "files: remove {name}, of which no more comes: {e}; the next start does it"
            );
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.begun.fmt(f)
    }
}

/// Runs what waits for a disk beside the runtime's threads.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::other)?
}

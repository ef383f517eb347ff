//! A file, or a part of it, as the body of an answer.
//!
//! Always true: two blocks of it are in memory at most, and each is used again: memory that was just sent is still in the
//! processor's cache. What the kernel has in memory is copied at once; what it would have to wait for is read beside the
//! runtime's threads. An answer that would be shorter than it said is broken off.
//!
//! Does not: read what nobody asks for: nothing before the first poll.

use std::fs::File;
use std::io::{Error, ErrorKind, IoSliceMut, Result};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::metrics::Metrics;

/// Read at once, in bytes.
const BLOCK: u64 = 256 << 10;

/// Blocks that were sent.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// A block that goes back to the others when it was sent.
struct Lent {
    block: Vec<u8>,
    bytes: usize,
    spare: Spare,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.block.get(..self.bytes).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(block);
    }
}

/// Which reads wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

/// What of `file` stands at `at`, at most `bytes`; `None`: it would have to be waited for.
fn read(file: &File, at: u64, bytes: u64, spare: &Spare, wait: Wait) -> Result<Option<Bytes>> {
    let used = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut lent = Lent {
        block: used.unwrap_or_default(),
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        spare: Arc::clone(spare),
    };
    if lent.block.len() < lent.bytes {
        lent.block.resize(lent.bytes, 0);
    }
    let part = lent.block.get_mut(..lent.bytes).unwrap_or_default();
    lent.bytes = match wait {
        Wait::Yes => file.read_at(part, at)?,
        Wait::No => {
            let mut parts = [IoSliceMut::new(part)];
            match preadv2(file, &mut parts, at, ReadWriteFlags::NOWAIT) {
                Ok(bytes) => bytes,
                // not in memory, or a file system that cannot say so
                Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    return Ok(None);
                }
                Err(e) => return Err(e.into()),
            }
        }
    };
    if lent.bytes == 0 {
        let why = "the file is shorter than it was";
        return Err(Error::new(ErrorKind::UnexpectedEof, why));
    }
    Ok(Some(Bytes::from_owner(lent)))
}

/// What is left of it.
pub(super) struct Content {
    file: Arc<File>,
    at: u64,
    left: u64,
    /// A read that waits for the disk.
    reading: Option<JoinHandle<Result<Option<Bytes>>>>,
    spare: Spare,
    metrics: Arc<Metrics>,
}

impl Content {
    /// `bytes` of `file` from `first` on.
    pub(super) fn of(file: File, first: u64, bytes: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            file: Arc::new(file),
            at: first,
            left: bytes,
            reading: None,
            spare: Spare::default(),
            metrics,
        }
    }

    /// The next block.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let (at, bytes) = (self.at, self.left.min(BLOCK));
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                match read(&self.file, at, bytes, &self.spare, Wait::No) {
                    Ok(None) => {}
                    Ok(Some(block)) => return Poll::Ready(Ok(block)),
                    Err(why) => return Poll::Ready(Err(why)),
                }
                let (file, spare) = (Arc::clone(&self.file), Arc::clone(&self.spare));
                let read = move || read(&file, at, bytes, &spare, Wait::Yes);
                self.reading.insert(spawn_blocking(read))
            }
        };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let block = read.map_err(Error::other).flatten();
        let none = || Error::other("a read did not wait");
        Poll::Ready(block.and_then(|block| block.ok_or_else(none)))
    }
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        match ready!(this.next(cx)) {
            Ok(block) => {
                let bytes = block.len() as u64;
                this.at += bytes;
                this.left -= bytes;
                this.metrics.file_bytes("out", bytes);
                Poll::Ready(Some(Ok(Frame::data(block))))
            }
            Err(why) => {
                tracing::error!("files: read: {why}; the answer was broken off");
                Poll::Ready(Some(Err(why)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::body::{Body, to_bytes};
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.sync_all().unwrap();
        file
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new("1", "").unwrap())
    }

    fn bytes() -> Vec<u8> {
        (0..1_500_000_u32).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[tokio::test]
    async fn a_part_is_the_same_whether_it_is_in_memory_or_not() {
        let whole = bytes();
        for (first, length) in [(0, whole.len()), (1, 262_144), (262_143, 700_001)] {
            let file = file(&whole);
            // what the kernel need not keep
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
            for _ in 0..2 {
                let file = file.try_clone().unwrap();
                let content = Content::of(file, first as u64, length as u64, metrics());
                let read = to_bytes(Body::new(content), usize::MAX).await.unwrap();
                assert!(read == whole[first..first + length], "{first} {length}");
            }
        }
    }

    #[test]
    fn a_read_that_waits_reads_what_one_that_does_not_would() {
        let (file, spare) = (file(&bytes()), Spare::default());
        for wait in [Wait::Yes, Wait::No] {
            let block = read(&file, 1000, 5000, &spare, wait).unwrap();
            if wait == Wait::Yes {
                assert_eq!(block.unwrap(), bytes()[1000..6000]);
                // what was sent is used again
                assert_eq!(spare.lock().unwrap().len(), 1);
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_breaks_the_answer_off() {
        let file = file(&bytes());
        file.set_len(300_000).unwrap();
        let content = Content::of(file, 0, 1_500_000, metrics());
        assert!(to_bytes(Body::new(content), usize::MAX).await.is_err());
    }
}

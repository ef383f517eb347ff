//! A stream whose other end has to take what it is sent.
//!
//! Always true: a write that the kernel refuses for longer than the patience fails with `TimedOut`; one that gets a part
//! through earns a second for each KiB, and never more than the patience. A client that reads nothing, or one byte now and
//! then, holds nothing for ever.
//!
//! Does not: bound reads: a request's head and body have deadlines of their own.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::Activity;

/// Bytes that a WebSocket takes in a second: thirty messages of 4 KiB, and as much again around them.
const UPGRADED: usize = 256 << 10;

/// What a slow client has to take each second, in bytes.
const PACE: u64 = 1024;

/// A stream, and how long its writes may be refused.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    patience: Duration,
    /// Set while the kernel refuses what is to be sent.
    until: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
    said: Said,
}

/// What came within the last second on a connection that is no HTTP any more: frames of a WebSocket that carry nothing cost the
/// sender little and us a core.
#[derive(Debug, Default)]
struct Said {
    since: Option<Instant>,
    bytes: usize,
}

impl Said {
    fn add(&mut self, bytes: usize) -> Result<()> {
        let now = Instant::now();
        match self.since {
            Some(since) if now - since < Duration::from_secs(1) => self.bytes += bytes,
            _ => (self.since, self.bytes) = (Some(now), bytes),
        }
        match self.bytes > UPGRADED {
            true => Err(Error::new(
                ErrorKind::QuotaExceeded,
                "the client says too much",
            )),
            false => Ok(()),
        }
    }
}

impl<S> Paced<S> {
    /// `activity` is told whether something waits to be sent.
    pub(crate) fn new(stream: S, patience: Duration, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            patience,
            until: None,
            activity,
            said: Said::default(),
        }
    }

    /// What became of a write of `wanted` bytes.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        written: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.activity.sent();
        }
        match &written {
            Poll::Ready(Ok(bytes)) if *bytes < wanted => {
                if let Some(until) = &mut self.until {
                    let earned = Duration::from_millis(*bytes as u64 * 1000 / PACE);
                    let latest = Instant::now() + self.patience;
                    let deadline = (until.deadline() + earned).min(latest);
                    until.as_mut().reset(deadline);
                }
            }
            Poll::Ready(_) => {
                if self.until.take().is_some() {
                    self.activity.set_unsent(false);
                }
            }
            Poll::Pending => {
                self.activity.set_unsent(true);
                let patience = self.patience;
                let until = self.until.get_or_insert_with(|| Box::pin(sleep(patience)));
                if until.as_mut().poll(cx).is_ready() {
                    let why = "the client does not take what it is sent";
                    return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, why)));
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.activity.is_upgraded() && read.is_ready() {
            let bytes = buf.filled().len() - before;
            self.said.add(bytes)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, wanted, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! What happens on one connection: requests in flight, and whether the client takes what it is sent.
//!
//! Always true: a request is in flight from its complete head until its answer was handed to the protocol whole, or dropped;
//! a connection is quiet when none is and the kernel has taken every byte.
//!
//! Does not: end anything.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// So long nobody holds it against a connection that nothing is asked on it.
pub(super) const NEW: Duration = Duration::from_secs(2);

/// Shared by a connection's loop, its requests and its stream.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    /// Requests whose answer is not handed over.
    in_flight: AtomicUsize,
    /// Those of them that the router still works on.
    at_work: AtomicUsize,
    /// Those of them whose body does not come.
    starving: AtomicUsize,
    /// Milliseconds after `began` at which something was asked or handed over.
    asked: AtomicU64,
    /// The same for bytes that the kernel took.
    sent: AtomicU64,
    /// The same for a part of a body that came.
    received: AtomicU64,
    /// The kernel did not take what is to be sent.
    unsent: AtomicBool,
    upgraded: AtomicBool,
}

impl Activity {
    /// Of a connection that begins now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            in_flight: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
            starving: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            unsent: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
        })
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> Asked {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.at_work.fetch_add(1, Ordering::AcqRel);
        self.note(&self.asked);
        Asked {
            activity: Arc::clone(self),
            at_work: AtomicBool::new(true),
            starving: AtomicBool::new(false),
        }
    }

    pub(super) fn set_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Ordering::Release);
    }

    /// Nothing is in flight and nothing waits to be sent.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0 && !self.unsent.load(Ordering::Acquire)
    }

    /// As [`Activity::idle_until`]; while a request is in flight, or its answer is not taken, no other one is waited for.
    pub(super) fn next_until(&self, patience: Duration) -> Option<Instant> {
        if self.is_quiet() {
            self.idle_until(patience)
        } else {
            Some(Instant::now() + patience)
        }
    }

    /// When nothing will have been asked for `patience`; `None`: nothing was for that long.
    pub(super) fn unasked_until(&self, patience: Duration) -> Option<Instant> {
        self.until(self.asked.load(Ordering::Relaxed), patience)
    }

    /// When nothing will have been asked or taken for `patience`; `None`: nothing was for that long.
    pub(super) fn idle_until(&self, patience: Duration) -> Option<Instant> {
        let (asked, sent) = (
            self.asked.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
        );
        self.until(asked.max(sent), patience)
    }

    fn until(&self, last: u64, patience: Duration) -> Option<Instant> {
        let now = Instant::now();
        if self.at_work.load(Ordering::Acquire) > 0 {
            return Some(now + patience);
        }
        let until = self.began + Duration::from_millis(last) + patience;
        Some(until).filter(|until| *until > now)
    }

    /// Since when the client is waited for; `None`: the server works for it.
    pub(super) fn waits(&self) -> Option<Waits> {
        let times = [&self.asked, &self.sent, &self.received];
        let last = times.map(|time| time.load(Ordering::Relaxed)).into_iter();
        let since = self.began + Duration::from_millis(last.max().unwrap_or_default());
        if self.in_flight.load(Ordering::Acquire) == 0 {
            return Some(match since.elapsed() >= NEW {
                true => Waits::ForRequest(since),
                false => Waits::JustCame(since),
            });
        }
        let worked_for = self.at_work.load(Ordering::Acquire);
        (worked_for <= self.starving.load(Ordering::Acquire)).then_some(Waits::ForClient(since))
    }

    /// It is no HTTP any more: from here on only so many bytes a second are taken from it.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    /// The kernel took some bytes.
    pub(super) fn sent(&self) {
        self.note(&self.sent);
    }

    fn note(&self, time: &AtomicU64) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        time.store(millis, Ordering::Relaxed);
    }
}

/// What a connection waits for, and since when; the first to go is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// A handshake, a head, or another request.
    ForRequest(Instant),
    /// More of a body, or that an answer is taken.
    ForClient(Instant),
    /// What a moment ago was not there, and may well be asked something at once: a probe is, amid a flood of slow bodies.
    JustCame(Instant),
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct Asked {
    activity: Arc<Activity>,
    at_work: AtomicBool,
    starving: AtomicBool,
}

impl Asked {
    /// Whether its body is waited for.
    pub(super) fn starves(&self, starves: bool) {
        let before = self.starving.swap(starves, Ordering::AcqRel);
        match (before, starves) {
            (false, true) => drop(self.activity.starving.fetch_add(1, Ordering::AcqRel)),
            (true, false) => drop(self.activity.starving.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        if !starves {
            self.activity.note(&self.activity.received);
        }
    }

    /// What it was answered with makes the connection another one.
    pub(super) fn upgraded(&self) {
        self.activity.upgraded();
    }

    /// The router has answered.
    pub(super) fn answered(&self) {
        if self.at_work.swap(false, Ordering::AcqRel) {
            self.activity.at_work.fetch_sub(1, Ordering::AcqRel);
            self.activity.note(&self.activity.asked);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.starves(false);
        self.answered();
        self.activity.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer's body, which keeps its request in flight.
pub(super) struct Held {
    body: Body,
    asked: Arc<Asked>,
}

impl Held {
    pub(super) fn new(body: Body, asked: Arc<Asked>) -> Self {
        Self { body, asked }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            let activity = &self.asked.activity;
            activity.note(&activity.asked);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Request bodies: bounded in size and in time while they stream.
//!
//! Always true: no route reads a byte above the limit or waits for one longer than it should: its read fails, and the
//! error that it answers with becomes 413 or 408, whichever way it reads. A declared length above the limit is refused
//! before the route sees the request.
//!
//! What a route leaves of a body is taken from the wire for a moment and thrown away: a client that is still sending would
//! otherwise have its connection reset before it has read why.
//!
//! Does not: buffer; turn a success into an error.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::error::Problem;

const SOUND: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

/// What a slow client has to send each second where the size of a body says nothing of how long it may take, in bytes.
const PACE: u64 = 1024;

/// How long what is left of a body is taken from the wire.
const LINGER: Duration = Duration::from_secs(5);

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes.
    pub(super) bytes: u64,
    pub(super) time: Time,
}

/// How long a body may be waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Time {
    /// From the first read that has to wait to the end.
    Whole(Duration),
    /// While nothing comes: each KiB that does earns a second, and never more than this. What the reader itself takes is not
    /// counted.
    Idle(Duration),
}

/// What became of a body that is read elsewhere.
pub(super) struct Watch(Option<Arc<AtomicU8>>);

/// `request` with a body within `bounds`.
///
/// # Errors
/// 413 when the declared length is larger.
pub(super) fn bounded(request: Request, bounds: Bounds) -> Result<(Request, Watch), Problem> {
    if request.body().is_end_stream() {
        return Ok((request, Watch(None)));
    }
    // who waits for a word before it sends hears the answer first, and a read would be that word
    let rest = match request.headers().contains_key(EXPECT) {
        true => Rest::Left,
        false => Rest::Drained,
    };
    if request.body().size_hint().lower() > bounds.bytes {
        if rest == Rest::Drained {
            drain(request.into_body());
        }
        return Err(Problem::body_too_large());
    }
    let fate = Arc::new(AtomicU8::new(SOUND));
    let watch = Watch(Some(Arc::clone(&fate)));
    let bounded = request.map(|inner| {
        Body::new(Bounded {
            inner,
            left: bounds.bytes,
            clock: Clock::of(bounds.time),
            rest,
            fate,
        })
    });
    Ok((bounded, watch))
}

impl Watch {
    /// The route's answer, unless it is an error that the body is the cause of.
    pub(super) fn judge(self, response: Response) -> Response {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        match self.0.map(|fate| fate.load(Ordering::Acquire)) {
            Some(TOO_LARGE) => Problem::body_too_large().into_response(),
            Some(TOO_SLOW) => Problem::body_too_slow().into_response(),
            _ => response,
        }
    }
}

struct Bounded {
    inner: Body,
    left: u64,
    clock: Clock,
    rest: Rest,
    fate: Arc<AtomicU8>,
}

/// What becomes of a body that was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Drained,
    Left,
}

/// Throws away what comes of `body`, for a moment.
fn drain(mut body: Body) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    runtime.spawn(timeout(LINGER, async move {
        while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
    }));
}

impl Drop for Bounded {
    fn drop(&mut self) {
        if self.rest == Rest::Drained && !self.inner.is_end_stream() {
            drain(std::mem::take(&mut self.inner));
        }
    }
}

/// How long is still waited.
struct Clock {
    time: Time,
    left: Duration,
    /// Since when: for [`Time::Whole`] from the first read that had to wait, otherwise from the last one.
    since: Option<Instant>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn of(time: Time) -> Self {
        let (Time::Whole(left) | Time::Idle(left)) = time;
        Self {
            time,
            left,
            since: None,
            until: None,
        }
    }

    /// Nothing is there. Ready: that was so for too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            match &mut self.until {
                Some(until) => until.as_mut().reset(now + self.left),
                None => self.until = Some(Box::pin(sleep(self.left))),
            }
        }
        self.until
            .as_mut()
            .map_or(Poll::Pending, |until| until.as_mut().poll(cx))
    }

    fn came(&mut self, bytes: u64) {
        if let Time::Idle(most) = self.time {
            let waited = self
                .since
                .take()
                .map_or(Duration::ZERO, |since| since.elapsed());
            let earned = Duration::from_millis(bytes.saturating_mul(1000) / PACE);
            self.left = (self.left.saturating_sub(waited) + earned).min(most);
        }
    }
}

impl Bounded {
    fn fail(&self, fate: u8, why: &'static str) -> axum::Error {
        self.fate.store(fate, Ordering::Release);
        axum::Error::new(why)
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = this.next(cx);
        match &frame {
            // from here on the client is sending, or has nothing more to send
            Poll::Ready(Some(Ok(_))) => this.rest = Rest::Drained,
            Poll::Ready(None) => this.rest = Rest::Left,
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Bounded {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.clock.wait(cx));
            let failed = this.fail(TOO_SLOW, "the body did not arrive in time");
            return Poll::Ready(Some(Err(failed)));
        };
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = this.left.checked_sub(bytes) else {
                let failed = this.fail(TOO_LARGE, "the body is too large");
                return Poll::Ready(Some(Err(failed)));
            };
            this.left = left;
            this.clock.came(bytes);
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(400);
    /// Earns all of it.
    const MUCH: u64 = 1 << 20;

    /// Whether a clock of this kind is still patient after these waits (in milliseconds), each ended by so many bytes.
    async fn is_patient(time: Time, waits: &[(u64, u64)]) -> bool {
        let mut clock = Clock::of(time);
        for (millis, bytes) in waits {
            let came = sleep(Duration::from_millis(*millis));
            let out = poll_fn(|cx| clock.wait(cx));
            let timed_out = tokio::select! {
                biased;
                () = out => true,
                () = came => false,
            };
            if timed_out {
                return false;
            }
            clock.came(*bytes);
        }
        true
    }

    #[tokio::test]
    async fn a_file_may_come_slowly_for_ever_and_nothing_may_not() {
        let idle = Time::Idle(MOST);
        assert!(!is_patient(idle, &[(600, 0)]).await);
        assert!(is_patient(idle, &[(100, MUCH); 8]).await);
        // a byte now and then is not enough
        assert!(!is_patient(idle, &[(100, 1); 8]).await);
        // much at once earns no more than the patience
        assert!(!is_patient(idle, &[(10, MUCH), (10, MUCH), (600, 0)]).await);
    }

    #[tokio::test]
    async fn what_the_reader_itself_takes_is_not_counted() {
        let mut clock = Clock::of(Time::Idle(MOST));
        for _ in 0..2 {
            let out = poll_fn(|cx| clock.wait(cx));
            let waited = tokio::time::timeout(Duration::from_millis(10), out).await;
            assert!(waited.is_err());
            clock.came(0);
            // the disk is slow
            sleep(MOST + Duration::from_millis(100)).await;
        }
    }

    #[tokio::test]
    async fn another_body_has_one_deadline() {
        assert!(!is_patient(Time::Whole(MOST), &[(100, MUCH); 8]).await);
        assert!(is_patient(Time::Whole(MOST), &[(20, MUCH); 2]).await);
    }
}

//! Request bodies: bounded in size and in time while they stream.
//!
//! Always true: no route reads a byte above the limit or waits for one longer than the deadline: its read fails, and the
//! error that it answers with becomes 413 or 408, whichever way it reads. A declared length above the limit is refused
//! before the route sees the request.
//!
//! Does not: buffer; turn a success into an error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::error::Problem;

const SOUND: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

/// What became of a body that is read elsewhere.
pub(super) struct Watch(Option<Arc<AtomicU8>>);

/// `request` with a body of at most `max_bytes` that arrives within `deadline` of its first read.
///
/// # Errors
/// 413 when the declared length is larger.
pub(super) fn bounded(
    request: Request,
    max_bytes: u64,
    deadline: Duration,
) -> Result<(Request, Watch), Problem> {
    if request.body().is_end_stream() {
        return Ok((request, Watch(None)));
    }
    if request.body().size_hint().lower() > max_bytes {
        return Err(Problem::body_too_large());
    }
    let fate = Arc::new(AtomicU8::new(SOUND));
    let watch = Watch(Some(Arc::clone(&fate)));
    let bounded = request.map(|inner| {
        Body::new(Bounded {
            inner,
            left: max_bytes,
            deadline,
            until: None,
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
    deadline: Duration,
    /// Set by the first read that has to wait.
    until: Option<Pin<Box<Sleep>>>,
    fate: Arc<AtomicU8>,
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
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            let deadline = this.deadline;
            let until = this.until.get_or_insert_with(|| Box::pin(sleep(deadline)));
            ready!(until.as_mut().poll(cx));
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
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

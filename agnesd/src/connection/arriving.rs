//! A request's body on its way in.
//!
//! Always true: while a read of it waits for the client, the connection is known to wait, and not to be worked for.
//!
//! Does not: bound it (`middleware` does).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::activity::Asked;

/// The body, and the request that it belongs to.
pub(super) struct Arriving {
    body: Incoming,
    asked: Arc<Asked>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, asked: Arc<Asked>) -> Self {
        Self { body, asked }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.asked.starves(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.asked.starves(false);
    }
}

//! HTTP on one connection: bounded in time in both directions, and let go in peace.
//!
//! Always true: a client is cut that does not send a request's head in time, that does not take what it is sent, or that
//! keeps an HTTP/2 connection without asking for anything. At a stop requests in flight finish; a connection on which none
//! is, or only half a head, is closed at once. Heads well above 64 KiB, more than 100 header fields, and what is not HTTP are
//! turned away by the protocol itself, before there is a request to answer. Every request carries what is known of its
//! connection.
//!
//! Does not: accept connections or speak TLS; know what is served; bound a request's body (`middleware` does).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

mod activity;
mod arriving;
mod crowd;
mod paced;

pub(crate) use activity::Activity;
use activity::Held;
use arriving::Arriving;
pub(crate) use crowd::{Crowd, Place};
pub(crate) use paced::Paced;

/// What one listener's clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; for one more, one that waits for its client is closed (`crowd`).
    pub(crate) connections: usize,
    /// A TLS handshake, from accept to finished.
    pub(crate) handshake: Duration,
    /// A request's head, from the moment the connection is free for it: also how long an idle connection is kept.
    pub(crate) head: Duration,
    /// How long the kernel may refuse what is to be sent; then 1 KiB must get through each second.
    pub(crate) send: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            send: Duration::from_secs(30),
        }
    }
}

/// Chosen before the first byte: by ALPN, and HTTP/1.1 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Why a connection ended, for the log.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// After a stop an HTTP/2 connection without a request is given this long to take what stands in its buffers.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves requests on one connection until either side has enough, or a stop lets the ones in flight finish. Each of them
/// has `known` among its extensions.
pub(crate) async fn speak<S, K>(
    stream: S,
    known: K,
    protocol: Protocol,
    limits: Limits,
    (router, activity): (Router, Arc<Activity>),
    mut stop: watch::Receiver<()>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    K: Clone + Send + Sync + 'static,
{
    let counted = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(known.clone());
        let (asked, mut router) = (Arc::new(counted.begin()), router.clone());
        let request = match request.body().is_end_stream() {
            true => request.map(Body::new),
            false => request.map(|body| Body::new(Arriving::new(body, Arc::clone(&asked)))),
        };
        async move {
            let response = tower::Service::call(&mut router, request).await?;
            asked.answered();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                asked.upgraded();
            }
            Ok::<_, std::convert::Infallible>(response.map(|body| Held::new(body, asked)))
        }
    });
    let stream = TokioIo::new(stream);
    let mut connection: Box<dyn Spoken> = match protocol {
        Protocol::Http1 => Box::new(http1().serve_connection(stream, service).with_upgrades()),
        Protocol::Http2 => Box::new(Box::pin(http2(limits).serve_connection(stream, service))),
    };
    // one clock for a connection, set anew when it rings: the library's own deadline for each head of HTTP/1 would set and
    // clear a timer for each request
    let mut clock = pin!(sleep(limits.head));
    let (mut stopping, mut parting) = (false, false);
    loop {
        // polled after the connection: by then everything that has arrived was read, and what could be sent was
        let quiet = poll_fn(|_| {
            if activity.is_quiet() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll_end(cx)) => return ended,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.part();
                if protocol == Protocol::Http2 {
                    clock.as_mut().reset(Instant::now() + FAREWELL);
                }
            }
            () = quiet, if stopping && protocol == Protocol::Http1 => return Ok(()),
            () = clock.as_mut() => {
                let later = match protocol {
                    Protocol::Http1 => activity.next_until(limits.head),
                    Protocol::Http2 if stopping => activity.idle_until(FAREWELL),
                    Protocol::Http2 => activity.unasked_until(limits.head),
                };
                match later {
                    Some(later) => clock.as_mut().reset(later),
                    // half a head, or none: nobody's work yet
                    None if protocol == Protocol::Http1 || stopping || parting => return Err("nothing was asked or taken in time".into()),
                    None => {
                        parting = true;
                        connection.part();
                        clock.as_mut().reset(Instant::now() + limits.head);
                    }
                }
            }
        }
    }
}

/// A connection of either protocol. The library's own choice between the two would read the first bytes of what may become a
/// WebSocket, and speak HTTP/2 to whoever begins with that, whatever was agreed.
trait Spoken: Send {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Ended>;

    /// No further request is begun.
    fn part(&mut self);
}

impl<I, S, B> Spoken for hyper::server::conn::http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        Pin::new(self).poll(cx).map_err(Into::into)
    }

    fn part(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<I, S, B> Spoken for Pin<Box<hyper::server::conn::http2::Connection<I, S, TokioExecutor>>>
where
    I: Read + Write + Unpin + Send,
    S: Service<Request<Incoming>, Response = Response<B>> + Send,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.as_mut().poll(cx).map_err(Into::into)
    }

    fn part(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

fn http1() -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(64 * 1024);
    http
}

fn http2(limits: Limits) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head)
        .max_concurrent_streams(128)
        .max_header_list_size(64 * 1024);
    http
}

/// Whether the process or its host is out of something that a closed connection gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Yes,
    No,
}

/// How long to wait after a failed accept: out of descriptors, a loop without a pause would burn a core and free none.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    wait: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_secs(1);

    /// Waits, where that helps, and says whether something ran out; `listener` is what the log calls it.
    pub(crate) async fn after(&mut self, error: &std::io::Error, listener: &str) -> Exhausted {
        let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
        if !error
            .raw_os_error()
            .is_some_and(|raw| exhausted.contains(&Errno::from_raw(raw)))
        {
            tracing::debug!("{listener}: accept: {error}");
            return Exhausted::No;
        }
        if self.wait.is_zero() {
            tracing::warn!("{listener}: accept: {error}; new connections wait, those in use go on");
        }
        self.wait = (self.wait * 2).clamp(Self::FIRST, Self::LAST);
        sleep(self.wait).await;
        Exhausted::Yes
    }

    /// One was accepted.
    pub(crate) fn reset(&mut self) {
        self.wait = Duration::ZERO;
    }
}

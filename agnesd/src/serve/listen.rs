//! Connections: accepted, bounded, handed to the router, let go in peace.
//!
//! Always true: no client can hold more than its share for free: the TLS handshake, the first request and each request's
//! head have deadlines, and each listener has a cap of its own, so that a flood on one leaves the other's probes alone.
//! A failed connection never ends the loop. Every request carries its [`Connection`]. Heads above 64 KiB, more than 100
//! header fields, and what is not HTTP are turned away by the protocol itself, before there is a request to answer.
//!
//! Does not: know what is served; log what a stranger can cause above debug.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::client_address::Connection;
use crate::tls::Served;

/// What one listener's clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub(crate) connections: usize,
    /// A TLS handshake, from accept to finished.
    pub(crate) handshake: Duration,
    /// A request's head, from the moment the connection is free for it: also how long an idle connection is kept.
    pub(crate) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
        }
    }
}

/// One bound address.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Arc<Served>>,
    pub(crate) limits: Limits,
}

/// Chosen before the first byte: by ALPN, and HTTP/1.1 where there is none.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Listener {
    /// Accepts until `stop` changes, then closes the socket. Every connection holds a copy of `stop` until it is done.
    pub(crate) async fn accept(self, router: Router, mut stop: watch::Receiver<()>) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut backoff = Backoff::default();
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.socket.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                _ = stop.changed() => return,
                next = next => next,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    backoff.after(&e, self.address).await;
                    continue;
                }
            };
            backoff.reset();
            let (tls, limits, router, stop) =
                (self.tls.clone(), self.limits, router.clone(), stop.clone());
            tokio::spawn(async move {
                let _slot = slot;
                if let Err(why) = serve(stream, peer, tls, limits, router, stop).await {
                    tracing::debug!("connection: {why}");
                }
            });
        }
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Served>>,
    limits: Limits,
    router: Router,
    stop: watch::Receiver<()>,
) -> Ended {
    stream.set_nodelay(true)?;
    let mut known = Connection {
        peer,
        tls: tls.is_some(),
        ca_leaf: false,
    };
    let Some(tls) = tls else {
        return speak(stream, known, Protocol::Http1, limits, router, stop).await;
    };
    let (acceptor, ca_leaf) = tls.acceptor();
    known.ca_leaf = ca_leaf;
    let stream = timeout(limits.handshake, acceptor.accept(stream))
        .await
        .map_err(|_| "TLS handshake timed out")??;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    speak(stream, known, protocol, limits, router, stop).await
}

/// Serves requests on one connection until either side has enough, or a stop lets the ones in flight finish.
async fn speak<S>(
    stream: S,
    known: Connection,
    protocol: Protocol,
    limits: Limits,
    router: Router,
    mut stop: watch::Receiver<()>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let spoken = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&spoken);
    let service = router.map_request(move |mut request: Request<_>| {
        heard.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(known);
        request.map(Body::new)
    });
    let http = protocol.builder(limits);
    let mut connection =
        pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // HTTP/2 has no deadline of its own for the client's preface
    let mut first_request = pin!(sleep(limits.head));
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if waiting => {
                waiting = false;
                if !spoken.load(Ordering::Relaxed) {
                    return Err("no request in time".into());
                }
            }
        }
    }
}

impl Protocol {
    fn builder(self, limits: Limits) -> auto::Builder<TokioExecutor> {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(64 * 1024);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.head)
            .keep_alive_timeout(limits.head)
            .max_concurrent_streams(128)
            .max_header_list_size(64 * 1024);
        match self {
            Self::Http1 => http.http1_only(),
            Self::Http2 => http.http2_only(),
        }
    }
}

/// How long to wait after a failed accept: out of descriptors, a loop without a pause would burn a core and free none.
#[derive(Debug, Default)]
struct Backoff {
    wait: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_secs(1);

    async fn after(&mut self, error: &std::io::Error, address: SocketAddr) {
        let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
        if !error
            .raw_os_error()
            .is_some_and(|raw| exhausted.contains(&Errno::from_raw(raw)))
        {
            tracing::debug!("{address}: accept: {error}");
            return;
        }
        if self.wait.is_zero() {
            tracing::warn!("{address}: accept: {error}; new connections wait, those in use go on");
        }
        self.wait = (self.wait * 2).clamp(Self::FIRST, Self::LAST);
        sleep(self.wait).await;
    }

    fn reset(&mut self) {
        self.wait = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests;

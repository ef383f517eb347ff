//! Connections on TCP: accepted, bounded, led through TLS, handed on.
//!
//! Always true: no client can hold more than its share for free: the TLS handshake has a deadline, as everything after it
//! has (`connection`), and each listener has a cap of its own, so that a flood on one leaves the other's probes alone. A
//! failed connection never ends the loop. Every request carries its [`Connection`].
//!
//! Does not: know what is served; log what a stranger can cause above debug.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::app::Bound;
use crate::client_address::Connection;
use crate::connection::{Activity, Backoff, Ended, Limits, Paced, Protocol, speak};
use crate::tls::Served;

/// One bound address.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Arc<Served>>,
    /// `api` or `metrics`.
    pub(crate) serves: &'static str,
    pub(crate) limits: Limits,
}

impl Listener {
    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// As the operator is told.
    pub(crate) fn bound(&self) -> Bound {
        Bound {
            address: self.address,
            scheme: self.scheme(),
            serves: self.serves,
        }
    }

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
                    backoff.after(&e, &self.address.to_string()).await;
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

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Served>>,
    limits: Limits,
    router: Router,
    mut stop: watch::Receiver<()>,
) -> Ended {
    stream.set_nodelay(true)?;
    let mut known = Connection {
        peer,
        tls: tls.is_some(),
        ca_leaf: false,
    };
    let activity = Activity::new();
    let stream = Paced::new(stream, limits.send, Arc::clone(&activity));
    let served = (router, activity);
    let Some(tls) = tls else {
        return speak(stream, known, Protocol::Http1, limits, served, stop).await;
    };
    let (acceptor, ca_leaf) = tls.acceptor();
    known.ca_leaf = ca_leaf;
    let stream = tokio::select! {
        biased;
        shaken = timeout(limits.handshake, acceptor.accept(stream)) => {
            shaken.map_err(|_| "TLS handshake timed out")??
        }
        // nothing was asked yet
        _ = stop.changed() => return Ok(()),
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    speak(stream, known, protocol, limits, served, stop).await
}

#[cfg(test)]
mod tests;

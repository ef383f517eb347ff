//! Connections on TCP: accepted, bounded, led through TLS, handed on.
//!
//! Always true: no client can hold more than its share for free: the TLS handshake has a deadline, as everything after it
//! has (`connection`), and each listener has a cap of its own, so that a flood on one leaves the other's probes alone. At
//! the cap, or without a descriptor left, whoever comes takes the place of a connection that waits for its client. A failed
//! connection never ends the loop. Every request carries its [`Connection`].
//!
//! Does not: know what is served; log what a stranger can cause above debug.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::Bound;
use crate::client_address::Connection;
use crate::connection::{Backoff, Crowd, Ended, Exhausted, Limits, Paced, Place, Protocol, speak};
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
        let crowd = Crowd::of(self.limits.connections);
        let mut backoff = Backoff::default();
        loop {
            let next = async {
                let accepted = self.socket.accept().await?;
                Ok::<_, std::io::Error>((accepted, crowd.enter().await))
            };
            let accepted = tokio::select! {
                _ = stop.changed() => return,
                next = next => next,
            };
            let ((stream, peer), place) = match accepted {
                Ok((accepted, Some(place))) => (accepted, place),
                Ok((_, None)) => return,
                Err(e) => {
                    if backoff.after(&e, &self.address.to_string()).await == Exhausted::Yes {
                        crowd.make_more_room();
                    }
                    continue;
                }
            };
            backoff.reset();
            let (tls, limits, router, stop) =
                (self.tls.clone(), self.limits, router.clone(), stop.clone());
            tokio::spawn(async move {
                let served = serve((stream, peer), &place, tls, limits, router, stop);
                let ended = tokio::select! {
                    ended = served => ended,
                    () = place.has_to_leave() => Err("closed for another one".into()),
                };
                if let Err(why) = ended {
                    tracing::debug!("connection: {why}");
                }
            });
        }
    }
}

async fn serve(
    (stream, peer): (TcpStream, SocketAddr),
    place: &Place,
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
    let activity = place.activity();
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

//! `[server]`, `[limits]`, `[audit]` and `[store]`.
//!
//! Always true: as its parent.
//!
//! Does not: compare values with each other (that is `checks`).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Builder;
use crate::env_keys as keys;
use crate::settings::{Audit, Domain, Limits, MetricsListen, Server, Store};
use crate::values::{self, network};

impl Builder {
    pub(super) fn server(&mut self, domain: &Domain) -> Server {
        let listen = self.take(&keys::LISTEN, values::listen);
        let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)));
        let tls_listen = self.take(&keys::TLS_LISTEN, values::listen);
        let public_url = self.public_url(domain, listen, tls_listen);
        let drain = self.take(&keys::DRAIN, values::duration);
        let trusted_proxies = self.take(&keys::TRUSTED_PROXIES, network::nets);
        let private = self.take(&keys::ALLOWED_PRIVATE_NETS, network::nets);
        let origins = self.take(&keys::ALLOWED_ORIGINS, network::origins);
        Server {
            listen,
            tls_listen,
            public_url,
            drain: drain.unwrap_or(Duration::from_secs(25)),
            metrics: self.metrics(),
            max_body: self.take(&keys::MAX_BODY, values::size).unwrap_or(1 << 20),
            max_upload: self
                .take(&keys::MAX_UPLOAD, values::upload)
                .unwrap_or(4 << 30),
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            allowed_private_nets: private.unwrap_or_default(),
            allowed_origins: origins.unwrap_or_default(),
            image_digest: self.take(&keys::IMAGE_DIGEST, network::digest),
            seed_admin_email: self.take(&keys::SEED_ADMIN_EMAIL, network::email),
        }
    }

    /// Never a client's word: a link in mail goes to where somebody was sent.
    fn public_url(
        &mut self,
        domain: &Domain,
        listen: SocketAddr,
        tls_listen: Option<SocketAddr>,
    ) -> String {
        if let Some(origin) = self.take(&keys::PUBLIC_URL, network::origin) {
            return origin;
        }
        let origin = match tls_listen {
            _ if self.is_set(&keys::DOMAIN) && !domain.as_str().starts_with('*') => {
                format!("https://{}", domain.as_str())
            }
            Some(address) => format!("https://localhost:{}", address.port()),
            None => format!("http://localhost:{}", listen.port()),
        };
        if !self.is_set(&keys::PUBLIC_URL) {
            self.show(&keys::PUBLIC_URL, origin.clone());
        }
        origin
    }

    fn metrics(&mut self) -> MetricsListen {
        match self.take(&keys::METRICS_ADDR, network::metrics) {
            Some(Some(address)) => MetricsListen::At(address),
            Some(None) => MetricsListen::Off,
            None => MetricsListen::Default(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
        }
    }

    pub(super) fn limits(&mut self) -> Limits {
        let any = |text: &str| values::count(text, 0, u32::MAX);
        let unauthenticated = self.take(&keys::LIMIT_UNAUTHENTICATED, any);
        let authenticated = self.take(&keys::LIMIT_AUTHENTICATED, any);
        Limits {
            unauthenticated_per_min: unauthenticated.unwrap_or(100),
            authenticated_per_min: authenticated.unwrap_or(600),
        }
    }

    pub(super) fn audit(&mut self) -> Audit {
        let days = |text: &str| values::count(text, 1, 36_500);
        Audit {
            keep_days: self.take(&keys::AUDIT_KEEP_DAYS, days).unwrap_or(90),
        }
    }

    pub(super) fn store(&mut self) -> Store {
        let threads = |text: &str| values::count(text, 1, 256);
        let memory_limit = self.take(&keys::STORE_MEMORY_LIMIT, values::memory);
        let checkpoint_every = self.take(&keys::STORE_CHECKPOINT_EVERY, values::interval);
        Store {
            memory_limit: memory_limit.unwrap_or(512 << 20),
            threads: self.take(&keys::STORE_THREADS, threads).unwrap_or(1),
            checkpoint_every: checkpoint_every.unwrap_or(Duration::from_secs(300)),
        }
    }
}

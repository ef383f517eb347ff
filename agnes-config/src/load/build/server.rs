//! `[server]`, `[limits]`, `[audit]` and `[store]`.
//!
//! Always true: as its parent.
//!
//! Does not: compare values with each other (that is `checks`).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Builder;
use crate::env_keys as keys;
use crate::settings::{Audit, Limits, MetricsListen, Server, Store};
use crate::values::{self, network};

impl Builder {
    pub(super) fn server(&mut self) -> Server {
        let listen = self.take(&keys::LISTEN, values::listen);
        let drain = self.take(&keys::DRAIN, values::duration);
        let trusted_proxies = self.take(&keys::TRUSTED_PROXIES, network::nets);
        let private = self.take(&keys::ALLOWED_PRIVATE_NETS, network::nets);
        let origins = self.take(&keys::ALLOWED_ORIGINS, network::origins);
        Server {
            listen: listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))),
            tls_listen: self.take(&keys::TLS_LISTEN, values::listen),
            drain: drain.unwrap_or(Duration::from_secs(25)),
            metrics: self.metrics(),
            max_body: self.take(&keys::MAX_BODY, values::size).unwrap_or(1 << 20),
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            allowed_private_nets: private.unwrap_or_default(),
            allowed_origins: origins.unwrap_or_default(),
            image_digest: self.take(&keys::IMAGE_DIGEST, network::digest),
            seed_admin_email: self.take(&keys::SEED_ADMIN_EMAIL, network::email),
        }
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

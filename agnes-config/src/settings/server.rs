//! What `agnesd` alone is configured to be: listeners, trust, keys, limits, audit, store, jobs.
//!
//! Always true: as its parent. Whether the keys are fit to serve with is in `load::Loaded::server_problems`.
//!
//! Does not: hold anything of the certificates' life on disk.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::{Schedule, Secret};

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// `AGNES_LISTEN` (default `127.0.0.1:8000`), plain HTTP.
    pub listen: SocketAddr,
    /// `AGNES_TLS_LISTEN`; `None`: no TLS of its own.
    pub tls_listen: Option<SocketAddr>,
    /// `[server] drain = "25s"`: how long a graceful stop waits for requests in flight.
    pub drain: Duration,
    /// `METRICS_ADDR` (default `127.0.0.1:9464`).
    pub metrics: MetricsListen,
    /// `[server] max_body`: bytes of a request's body (default 1 MiB, at most 64 MiB).
    pub max_body: u64,
    /// `[server] max_upload`: bytes of a file that is taken (default 4 GiB, at most 1 TiB).
    pub max_upload: u64,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` counts; usually none. Host bits are zero.
    pub trusted_proxies: Vec<IpNet>,
    /// `ALLOWED_PRIVATE_NETS`: what the address guard lets through in spite of itself; usually none. Host bits are zero.
    pub allowed_private_nets: Vec<IpNet>,
    /// `ALLOWED_ORIGINS` as a browser sends them: `https://app.example.com`, the scheme's own port left out; usually none.
    /// Each stands here once.
    pub allowed_origins: Vec<String>,
    /// `AGNES_IMAGE_DIGEST`, `sha256:` and 64 lower-case hexadecimal digits; `None`: not run from an image, or nobody said.
    pub image_digest: Option<String>,
    /// `PUBLIC_URL`, an origin without a final slash (default `https://DOMAIN`, and without a domain where the server listens,
    /// as `localhost`).
    pub public_url: String,
    /// `SEED_ADMIN_EMAIL` as written; `None`: whoever comes first may bootstrap.
    pub seed_admin_email: Option<String>,
}

/// `METRICS_ADDR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsListen {
    /// Empty or `off`: nothing is served.
    Off,
    /// Nobody said anything: the default address, which may be in use without that being a failure.
    Default(SocketAddr),
    /// Asked for.
    At(SocketAddr),
}

/// Every secret of the server.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// `JWT_SECRET_KEY`(`_PREVIOUS`): signs access tokens.
    pub jwt: Keys,
    /// `SESSION_SECRET`(`_PREVIOUS`): signs cookies.
    pub session: Keys,
    /// `SCHEDULER_API_TOKEN`(`_PREVIOUS`); one that is shorter than 32 characters is `None` (the path is off).
    pub scheduler: Keys,
    /// `AGNES_BOOTSTRAP_TOKEN`; `None`: the first admin needs none.
    pub bootstrap: Option<Secret>,
}

/// A secret and the one before it, which stays valid while it is rotated.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Signs and verifies.
    pub current: Option<Secret>,
    /// Verifies only.
    pub previous: Option<Secret>,
}

/// `[limits]`: requests a minute of one caller; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `unauthenticated_per_min` (default 100), by address.
    pub unauthenticated_per_min: u32,
    /// `authenticated_per_min` (default 600), by principal.
    pub authenticated_per_min: u32,
}

/// `[audit]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// `keep_days` (default 90, at least 1): how long rows are kept.
    pub keep_days: u32,
}

/// `[store]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// `memory_limit` in bytes (default 512 MiB, 64 MiB to 1 TiB): what the engine may hold.
    pub memory_limit: u64,
    /// `threads` of the engine (default 1, 1 to 256).
    pub threads: u32,
    /// `checkpoint_every` (default 5 min, 1 s to a day).
    pub checkpoint_every: Duration,
}

/// One `[[jobs]]` entry.
#[derive(Debug, Clone)]
pub struct Job {
    /// `name`: lower-case letters, digits, `_` and `-`, at most 64; unique, and none of the built-in ones.
    pub name: String,
    /// `schedule`.
    pub schedule: Schedule,
    /// `path` or `url`.
    pub target: JobTarget,
    /// `method` (default POST).
    pub method: Method,
    /// `timeout` of one try (default 60 s, at most a day).
    pub timeout: Duration,
    /// `retries` after a failed try (default 3, at most 100).
    pub retries: u32,
    /// The value of what `token_env` names; only with a `url`. `None`: the job presents no credential.
    pub token: Option<Secret>,
}

/// What a job calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobTarget {
    /// `path` on this server, beginning with `/`; a query may follow.
    Path(String),
    /// `url`: absolute, http or https, without user and fragment. Its query may hold a credential: show it to nobody.
    Url(url::Url),
}

/// How a job calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

impl Method {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

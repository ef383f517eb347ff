//! The rows of what `agnesd` alone reads: its listeners, trust, limits, audit log, store, jobs and secrets.
//!
//! Always true: as its parent.
//!
//! Does not: hold a row that `agnes-ops` acts on.

use super::{Key, Kind, SERVER};

/// `METRICS_ADDR`
pub static METRICS_ADDR: Key = Key::new(Kind::Metrics, SERVER, "Where `/metrics` is served, for the collector alone. Empty or `off`: nowhere (of all keys this is the one whose empty value says something).")
.env("METRICS_ADDR").toml("server.metrics_addr").default("127.0.0.1:9464");
/// `server.max_body`
pub static MAX_BODY: Key = Key::new(Kind::Size, SERVER, "The largest body of a request.")
    .toml("server.max_body")
    .default("1MiB");
/// `server.max_upload`
pub static MAX_UPLOAD: Key = Key::new(
    Kind::Upload,
    SERVER,
    "The largest file that is taken, from 1B to 1TiB.",
)
.toml("server.max_upload")
.default("4GiB");
/// `TRUSTED_PROXIES`
pub static TRUSTED_PROXIES: Key = Key::new(
    Kind::Nets,
    SERVER,
    "The proxies whose `X-Forwarded-For` counts. Not set: nobody's does.",
)
.env("TRUSTED_PROXIES")
.toml("server.trusted_proxies")
.example("127.0.0.1,192.0.2.0/24");
/// `ALLOWED_PRIVATE_NETS`
pub static ALLOWED_PRIVATE_NETS: Key = Key::new(
    Kind::Nets,
    SERVER,
    "Private networks that URLs set by admins and of jobs may lead to. Not set: none.",
)
.env("ALLOWED_PRIVATE_NETS")
.toml("server.allowed_private_nets")
.example("10.20.0.0/16");
/// `ALLOWED_ORIGINS`
pub static ALLOWED_ORIGINS: Key = Key::new(Kind::Origins, SERVER, "The web origins, apart from its own, that may call from a browser; there is no wildcard. Not set: none.")
.env("ALLOWED_ORIGINS").toml("server.allowed_origins").example("https://app.example.com");
/// `AGNES_IMAGE_DIGEST`
pub static IMAGE_DIGEST: Key = Key::new(
    Kind::Digest,
    SERVER,
    "The digest of the image that the server runs from; it is reported and nothing else.",
)
.env("AGNES_IMAGE_DIGEST")
.toml("server.image_digest")
.example("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
/// `SEED_ADMIN_EMAIL`
pub static SEED_ADMIN_EMAIL: Key = Key::new(Kind::Email, SERVER, "The one address that may bootstrap, seeded as an admin without a password. Not set: whoever comes first.")
.env("SEED_ADMIN_EMAIL").toml("server.seed_admin_email").example("admin@example.com");
/// `PUBLIC_URL`
pub static PUBLIC_URL: Key = Key::new(Kind::Origin, SERVER, "How people reach the server: what links in mail begin with, and where an OpenID provider sends them back. Not set: `https://` and `DOMAIN`, and without that where agnesd listens on this host.")
.env("PUBLIC_URL").toml("server.public_url").default("https://<DOMAIN>").example("https://agnes.example.com");
/// `AGNES_LIMIT_UNAUTHENTICATED_PER_MIN`
pub static LIMIT_UNAUTHENTICATED: Key = Key::new(
    Kind::Count,
    SERVER,
    "Requests a minute of one address without a credential; 0: no limit, which is warned of.",
)
.env("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN")
.toml("limits.unauthenticated_per_min")
.default("100");
/// `AGNES_LIMIT_AUTHENTICATED_PER_MIN`
pub static LIMIT_AUTHENTICATED: Key = Key::new(
    Kind::Count,
    SERVER,
    "Requests a minute of one principal; 0: no limit, which is warned of.",
)
.env("AGNES_LIMIT_AUTHENTICATED_PER_MIN")
.toml("limits.authenticated_per_min")
.default("600");
/// `audit.keep_days`
pub static AUDIT_KEEP_DAYS: Key = Key::new(
    Kind::Count,
    SERVER,
    "How many days the audit log is kept, from 1 to 36500.",
)
.toml("audit.keep_days")
.default("90");
/// `store.memory_limit`
pub static STORE_MEMORY_LIMIT: Key = Key::new(
    Kind::Memory,
    SERVER,
    "What the database engine may hold in memory, from 64MiB to 1TiB.",
)
.toml("store.memory_limit")
.default("512MiB");
/// `store.threads`
pub static STORE_THREADS: Key = Key::new(
    Kind::Count,
    SERVER,
    "The threads that the database engine may use for one statement, from 1 to 256. More than one costs every small write the time to wake them. A copy is proven with as many as there are cores, at least.",
)
.toml("store.threads")
.default("1");
/// `store.checkpoint_every`
pub static STORE_CHECKPOINT_EVERY: Key = Key::new(
    Kind::Duration,
    SERVER,
    "How often the write-ahead log is folded into the database, from 1s to 24h.",
)
.toml("store.checkpoint_every")
.default("5m");
/// `[[jobs]]`
pub static JOBS: Key = Key::new(
    Kind::Jobs,
    SERVER,
    "What the server calls on a schedule, besides its built-in jobs.",
)
.toml("jobs");
/// `JWT_SECRET_KEY`
pub static JWT_SECRET_KEY: Key = Key::new(
    Kind::Secret,
    SERVER,
    "Signs access tokens; at least 32 characters that nobody can guess.",
)
.env("JWT_SECRET_KEY");
/// `JWT_SECRET_KEY_PREVIOUS`
pub static JWT_SECRET_KEY_PREVIOUS: Key = Key::new(Kind::Secret, SERVER, "The key before `JWT_SECRET_KEY`: tokens that it signed stay valid until they expire, and it signs none.").env("JWT_SECRET_KEY_PREVIOUS");
/// `SESSION_SECRET`
pub static SESSION_SECRET: Key = Key::new(
    Kind::Secret,
    SERVER,
    "Signs session cookies; at least 32 characters that nobody can guess.",
)
.env("SESSION_SECRET");
/// `SESSION_SECRET_PREVIOUS`
pub static SESSION_SECRET_PREVIOUS: Key = Key::new(
    Kind::Secret,
    SERVER,
    "The secret before `SESSION_SECRET`: it verifies, and signs nothing.",
)
.env("SESSION_SECRET_PREVIOUS");
/// `SCHEDULER_API_TOKEN`
pub static SCHEDULER_API_TOKEN: Key = Key::new(Kind::Secret, SERVER, "What the scheduler presents to run jobs. Not set, or shorter than 32 characters: nobody gets in that way.").env("SCHEDULER_API_TOKEN");
/// `SCHEDULER_API_TOKEN_PREVIOUS`
pub static SCHEDULER_API_TOKEN_PREVIOUS: Key = Key::new(Kind::Secret, SERVER, "The token before `SCHEDULER_API_TOKEN`, accepted while callers move on; at least 32 characters, else it is not.").env("SCHEDULER_API_TOKEN_PREVIOUS");
/// `AGNES_BOOTSTRAP_TOKEN`
pub static BOOTSTRAP_TOKEN: Key = Key::new(Kind::Secret, SERVER, "A one-time code that must be presented to make the first admin; at least 16 characters. Not set: none is asked for.").env("AGNES_BOOTSTRAP_TOKEN");

//! The one table of settings: every name a person may write, what it means, what it is without them.
//!
//! Always true: a key stands here once; loading, `config show`, `docs/configuration.md` and `.env.example` all read this
//! table and nothing else.
//!
//! Does not: parse values (that is `values`), know where one came from (that is `load`).

mod alerts;
mod host;
mod kind;
mod mail;
mod oidc;
mod server;
mod snapshot;
mod upgrade;

pub use alerts::*;
pub use host::*;
pub use kind::Kind;
pub use mail::*;
pub use oidc::*;
pub use server::*;
pub use snapshot::*;
pub use upgrade::*;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in `.env` and in the environment.
    pub env: Option<&'static str>,
    /// Dotted path in `agnes.toml`.
    pub toml: Option<&'static str>,
    /// A second path in `agnes.toml` that means the same; giving both is a problem.
    pub alias: Option<&'static str>,
    /// Shape of the value.
    pub kind: Kind,
    /// What it is when nobody sets it, as it would be written; `None`: not set.
    pub default: Option<&'static str>,
    /// A value as somebody might write it, where the default does not show the shape.
    pub example: Option<&'static str>,
    /// The programs that read it.
    pub readers: &'static [&'static str],
    /// One sentence for people.
    pub doc: &'static str,
}

impl Key {
    /// The name that people see: the environment's where there is one, else the path in `agnes.toml`.
    pub fn name(&self) -> &'static str {
        self.env.or(self.toml).unwrap_or_default()
    }

    /// Does an empty value say something, rather than nothing?
    pub fn empty_is_a_value(&self) -> bool {
        self.kind == Kind::Metrics
    }

    /// Is it a key that rotation takes away again, so that its file may be absent?
    pub fn is_previous(&self) -> bool {
        self.is_secret() && self.name().ends_with("_PREVIOUS")
    }

    /// Is the value never shown?
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    const fn new(kind: Kind, readers: &'static [&'static str], doc: &'static str) -> Self {
        Self {
            env: None,
            toml: None,
            alias: None,
            kind,
            default: None,
            example: None,
            readers,
            doc,
        }
    }

    const fn env(mut self, name: &'static str) -> Self {
        self.env = Some(name);
        self
    }

    const fn toml(mut self, path: &'static str) -> Self {
        self.toml = Some(path);
        self
    }

    const fn alias(mut self, path: &'static str) -> Self {
        self.alias = Some(path);
        self
    }

    const fn example(mut self, text: &'static str) -> Self {
        self.example = Some(text);
        self
    }

    const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }
}

const BOTH: &[&str] = &["agnes-ops", "agnesd"];
const OPS: &[&str] = &["agnes-ops"];
const SERVER: &[&str] = &["agnesd"];
const COMPOSE: &[&str] = &["agnes-ops", "Compose"];

/// `config_version`
pub static CONFIG_VERSION: Key = Key::new(
    Kind::Version,
    BOTH,
    "The version of this file's meaning; there is one so far.",
)
.toml("config_version")
.default("1");
/// `DOMAIN`
pub static DOMAIN: Key = Key::new(Kind::Domain, BOTH, "The name under which clients reach this deployment, and the certificate's first SAN; required as soon as `TLS_FULLCHAIN_URL` is set.").env("DOMAIN").toml("tls.domain").alias("domain").default("localhost")
.example("agnes.example.com");
/// `DOMAIN_ALIAS`
pub static DOMAIN_ALIAS: Key = Key::new(
    Kind::Domains,
    OPS,
    "Further names that the certificate must cover; usually none.",
)
.env("DOMAIN_ALIAS")
.toml("tls.domain_alias")
.alias("domain_alias")
.example("www.example.com,api.example.com");
/// `TLS_FULLCHAIN_URL`
pub static FULLCHAIN_URL: Key = Key::new(Kind::SourceUrl, OPS, "Where the CA's signed chain (PEM, leaf first) is published; polled daily. Not set: there is nothing to rotate.").env("TLS_FULLCHAIN_URL").toml("tls.fullchain_url")
.example("https://pki.example.com/agnes/fullchain.pem");
/// `TLS_PRIVKEY_URL`
pub static PRIVKEY_URL: Key = Key::new(Kind::SourceUrl, OPS, "Where a provisioned private key (PEM) is fetched from at every run. Not set: the key is made on the host and never leaves it.").env("TLS_PRIVKEY_URL").toml("tls.privkey_url")
.example("sm://agnes-privkey");
/// `TLS_CSR_SUBJECT`
pub static CSR_SUBJECT: Key = Key::new(Kind::Subject, OPS, "The subject of the certificate signing request. Attributes: C, ST, L, O, OU, CN, emailAddress, serialNumber.").env("TLS_CSR_SUBJECT").toml("tls.csr_subject").default("/CN=<DOMAIN>")
.example("/C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com");
/// `DATA_DIR`
pub static DATA_DIR: Key = Key::new(Kind::Path, BOTH, "The data disk's mount point.")
    .env("DATA_DIR")
    .toml("data_dir")
    .alias("tls.data_dir")
    .default("/data");
/// `STATE_DIR`
pub static STATE_DIR: Key = Key::new(
    Kind::Path,
    BOTH,
    "Durable state; certificates are in `certs/` below it.",
)
.env("STATE_DIR")
.toml("state_dir")
.alias("tls.state_dir")
.default("$DATA_DIR/state")
.example("/data/state");
/// `TLS_SERVED_ADDRESS`
pub static SERVED_ADDRESS: Key = Key::new(Kind::Served, OPS, "Where agnes-ops looks at the certificate that is really served. `none` turns the proof off, and reports say so. Not set, with runtime process: where `AGNES_TLS_LISTEN` listens, and `none` when that is not set either (a proxy in front of the process is named here).").env("TLS_SERVED_ADDRESS").toml("tls.served_address").default("127.0.0.1:443");
/// `TLS_CA_BUNDLE`
pub static CA_BUNDLE: Key = Key::new(
    Kind::Path,
    OPS,
    "A PEM file with the only roots that https fetches trust. Not set: the host's own.",
)
.env("TLS_CA_BUNDLE")
.toml("tls.ca_bundle")
.example("/etc/ssl/certs/example-roots.pem");
/// `TLS_KEY_TYPE`
pub static KEY_TYPE: Key = Key::new(Kind::KeyType, OPS, "The type of a key made on the host. Not set: rsa-2048 for a new key, and an adopted key of any sound type is kept.").env("TLS_KEY_TYPE").toml("tls.key_type")
.example("rsa-2048");
/// `TLS_FILE_OWNER`
pub static FILE_OWNER: Key = Key::new(
    Kind::Owner,
    OPS,
    "Who owns the certificate files. Not set: whoever runs agnes-ops.",
)
.env("TLS_FILE_OWNER")
.toml("tls.file_owner")
.example("1000:1000");
/// `[[tls.reload]]`
pub static RELOAD: Key = Key::new(Kind::Reload, OPS, "How the proxy is made to read its files again: ways tried in order until the served leaf is the installed one.").toml("tls.reload");
/// `AGNES_RUNTIME`
pub static RUNTIME: Key = Key::new(Kind::Runtime, OPS, "How the services run: a Docker Compose stack in the deployment's directory, or one agnesd process.").env("AGNES_RUNTIME").toml("runtime").default("compose");
/// `AGNES_OVERLAYS`
pub static OVERLAYS: Key = Key::new(Kind::Overlays, OPS, "What the Compose stack has besides its base: `prod` (limits, log rotation), `host-mount` (the data on the host's disk), `monitoring`, or for a checkout `dev`; `base` is none of them. TLS is added by `TLS_MODE`.").env("AGNES_OVERLAYS").toml("overlays").default("prod,host-mount");
/// `AGNES_IMAGE`
pub static IMAGE: Key = Key::new(
    Kind::Image,
    COMPOSE,
    "The image of the service `app`; Compose reads it too, so it stands in `.env`.",
)
.env("AGNES_IMAGE")
.default("agnes")
.example("registry.example.com/team/agnes");
/// `AGNES_TAG`
pub static TAG: Key = Key::new(Kind::Tag, COMPOSE, "Its tag, which upgrades follow.")
    .env("AGNES_TAG")
    .default("stable");
/// `TLS_MODE`
pub static TLS_MODE: Key = Key::new(Kind::TlsMode, OPS, "Where the certificate of the Compose stack's proxy comes from: `files` (the pair in `$STATE_DIR/certs`), `acme` or `internal` (then `CADDY_TLS` says so too), or `none`, which is no TLS. Not set: what `CADDY_TLS` says, else `files` when `TLS_FULLCHAIN_URL` is set, else `none`.").env("TLS_MODE").toml("tls.mode").default("none").example("files");
/// `CADDY_TLS`
pub static CADDY_TLS: Key = Key::new(Kind::CaddyTls, COMPOSE, "The proxy's `tls` directive, word for word; Compose reads it too, so it stands in `.env`. Not set: the pair in `$STATE_DIR/certs`.").env("CADDY_TLS").example("tls /certs/fullchain.pem /certs/privkey.pem");
/// `AGNES_LISTEN`
pub static LISTEN: Key = Key::new(Kind::Listen, BOTH, "Where agnesd listens for plain HTTP.")
    .env("AGNES_LISTEN")
    .toml("server.listen")
    .default("127.0.0.1:8000");
/// `AGNES_TLS_LISTEN`
pub static TLS_LISTEN: Key = Key::new(
    Kind::Listen,
    BOTH,
    "Where agnesd listens for HTTPS. Not set: agnesd terminates no TLS.",
)
.env("AGNES_TLS_LISTEN")
.toml("server.tls_listen")
.example("0.0.0.0:8443");
/// `server.drain`
pub static DRAIN: Key = Key::new(
    Kind::Duration,
    SERVER,
    "How long a graceful stop waits for requests in flight.",
)
.toml("server.drain")
.default("25s");
/// `LOG_LEVEL`
pub static LOG_LEVEL: Key = Key::new(Kind::LogLevel, BOTH, "What is logged to stderr.")
    .env("LOG_LEVEL")
    .toml("log_level")
    .default("info");
/// `fetch.connect_timeout`
pub static CONNECT_TIMEOUT: Key = Key::new(
    Kind::Duration,
    OPS,
    "Deadline for name resolution, TCP and TLS of a fetch.",
)
.toml("fetch.connect_timeout")
.default("5s");
/// `fetch.timeout`
pub static TIMEOUT: Key = Key::new(
    Kind::Duration,
    OPS,
    "Deadline for one whole fetch, retries included.",
)
.toml("fetch.timeout")
.default("25s");
/// `fetch.max_size`
pub static MAX_SIZE: Key = Key::new(Kind::Size, OPS, "The most that a fetch accepts.")
    .toml("fetch.max_size")
    .default("1MiB");
/// `AGNES_SM_ENDPOINT`
pub static SM_ENDPOINT: Key = Key::new(
    Kind::Endpoint,
    OPS,
    "Secret Manager's endpoint, for private connectivity and tests. Not set: Google's own.",
)
.env("AGNES_SM_ENDPOINT")
.toml("fetch.sm_endpoint")
.example("https://secretmanager.example.com");
/// `AGNES_GCS_ENDPOINT`
pub static GCS_ENDPOINT: Key = Key::new(
    Kind::Endpoint,
    OPS,
    "Cloud Storage's endpoint, for private connectivity and tests. Not set: Google's own.",
)
.env("AGNES_GCS_ENDPOINT")
.toml("fetch.gcs_endpoint")
.example("https://storage.example.com");
/// `GOOGLE_CLOUD_PROJECT`
pub static GOOGLE_PROJECT: Key = Key::new(Kind::Project, OPS, "The project of `sm://` URLs that name none. Not set: the metadata server's, on a Google machine.").env("GOOGLE_CLOUD_PROJECT").toml("fetch.google_project")
.example("example-project");
/// `AGNES_SERVER_OWNER`
pub static SERVER_OWNER: Key = Key::new(Kind::Owner, OPS, "Whom the server runs as: the owner of the files in `$STATE_DIR/secrets/live`. Not set: with runtime compose 999:999, the user of the image; else whoever runs agnes-ops.").env("AGNES_SERVER_OWNER").toml("server.owner")
.example("999:999");
/// `[secrets.NAME]`
pub static SECRETS: Key = Key::new(
    Kind::Secrets,
    OPS,
    "Where secrets are fetched from, and where new ones are told.",
)
.toml("secrets");
/// The table, in the order in which people see it.
pub static KEYS: &[&Key] = &[
    &CONFIG_VERSION,
    &RUNTIME,
    &OVERLAYS,
    &IMAGE,
    &TAG,
    &DATA_DIR,
    &STATE_DIR,
    &LOG_LEVEL,
    &DOMAIN,
    &DOMAIN_ALIAS,
    &FULLCHAIN_URL,
    &PRIVKEY_URL,
    &CSR_SUBJECT,
    &TLS_MODE,
    &CADDY_TLS,
    &SERVED_ADDRESS,
    &CA_BUNDLE,
    &KEY_TYPE,
    &FILE_OWNER,
    &RELOAD,
    &CONNECT_TIMEOUT,
    &TIMEOUT,
    &MAX_SIZE,
    &SM_ENDPOINT,
    &GCS_ENDPOINT,
    &GOOGLE_PROJECT,
    &LISTEN,
    &TLS_LISTEN,
    &DRAIN,
    &METRICS_ADDR,
    &MAX_BODY,
    &MAX_UPLOAD,
    &TRUSTED_PROXIES,
    &ALLOWED_PRIVATE_NETS,
    &ALLOWED_ORIGINS,
    &IMAGE_DIGEST,
    &SEED_ADMIN_EMAIL,
    &PUBLIC_URL,
    &OIDC_ISSUER,
    &OIDC_CLIENT_ID,
    &OIDC_CLIENT_SECRET,
    &OIDC_GROUPS,
    &CLOUD_IDENTITY_ENDPOINT,
    &LIMIT_UNAUTHENTICATED,
    &LIMIT_AUTHENTICATED,
    &AUDIT_KEEP_DAYS,
    &STORE_MEMORY_LIMIT,
    &STORE_THREADS,
    &STORE_CHECKPOINT_EVERY,
    &JOBS,
    &DATA_DEVICE,
    &FORMAT_BLANK,
    &INSTALL_DOCKER,
    &UPGRADE_MODE,
    &UPGRADE_IMAGE,
    &UPGRADE_TAG,
    &UPGRADE_DIGEST,
    &UPGRADE_WINDOW,
    &UPGRADE_TIMEZONE,
    &UPGRADE_GATE_TIMEOUT,
    &UPGRADE_GATE_STABLE_FOR,
    &UPGRADE_GATE_PROBES,
    &UPGRADE_DEFER_MAX,
    &UPGRADE_KEEP_IMAGES,
    &UPGRADE_MIN_INTERVAL,
    &SNAPSHOT_KEEP_LAST,
    &SNAPSHOT_KEEP_DAYS,
    &SNAPSHOT_PUSH_TO,
    &SNAPSHOT_AGE_RECIPIENT,
    &ALERTS_REMIND_EVERY,
    &ALERT_WEBHOOK_URL,
    &ALERT_EMAIL_TO,
    &ALERT_JSON_URL,
    &HEARTBEAT_URL,
    &SMTP_HOST,
    &SMTP_PORT,
    &SMTP_TLS,
    &SMTP_USER,
    &SMTP_PASSWORD,
    &SMTP_FROM,
    &SERVER_OWNER,
    &SECRETS,
    &JWT_SECRET_KEY,
    &JWT_SECRET_KEY_PREVIOUS,
    &SESSION_SECRET,
    &SESSION_SECRET_PREVIOUS,
    &SCHEDULER_API_TOKEN,
    &SCHEDULER_API_TOKEN_PREVIOUS,
    &BOOTSTRAP_TOKEN,
];

/// The key that is called `name` in `.env` and the environment.
pub fn by_env(name: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|key| key.env == Some(name))
}

/// The key at `path` in `agnes.toml`, also by its second path.
pub fn by_toml(path: &str) -> Option<&'static Key> {
    let at = |key: &&Key| key.toml == Some(path) || key.alias == Some(path);
    KEYS.iter().copied().find(at)
}

/// The secret whose file `name` names: `<NAME>_FILE`.
pub fn by_secret_file(name: &str) -> Option<&'static Key> {
    by_env(name.strip_suffix("_FILE")?).filter(|key| key.is_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        let mut names: Vec<&str> = KEYS
            .iter()
            .flat_map(|key| [key.env, key.toml, key.alias])
            .flatten()
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(KEYS.iter().all(|key| !key.name().is_empty()));
    }
}

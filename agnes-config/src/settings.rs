//! The validated settings that both programs run on.
//!
//! Always true: a value of these types is valid; paths are absolute; defaults are filled in. An `Option` here means
//! that absence is a state of its own (no chain is published anywhere), never "not looked at yet".
//!
//! Does not: know where a value came from (that is `load::Loaded::values`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::SourceUrl;

mod server;

pub use server::{
    Audit, Job, JobTarget, Keys, Limits, Method, MetricsListen, Secrets, Server, Store,
};

mod stack;

pub use stack::{Overlay, Stack, TlsMode};

mod alerts;

pub use alerts::Alerts;

mod mail;

pub use mail::{Mail, MailTls};

mod oidc;

pub use oidc::{Oidc, OidcGroups};

mod machine;

pub use machine::{Consent, Machine};

mod provision;

pub use provision::Provision;

mod snapshot;

pub use snapshot::{Remote, Snapshot};

mod upgrade;

pub use upgrade::{Gate, Upgrade, UpgradeMode, Wanted};

/// Everything one deployment was configured to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deployment's directory (`-C`): `.env`, `agnes.toml`, `agnes.toml.d/`, `.lock`. Absolute.
    pub dir: PathBuf,
    /// How the services run.
    pub runtime: Runtime,
    /// The Compose stack, for runtime compose.
    pub stack: Stack,
    /// The data disk's mount point (`DATA_DIR`, default `/data`). Relative values are taken from `dir`.
    pub data_dir: PathBuf,
    /// Durable state (`STATE_DIR`, default `$DATA_DIR/state`).
    pub state_dir: PathBuf,
    /// `LOG_LEVEL`: a tracing filter such as `info` or `agnes_ops=debug` (default `info`).
    pub log_level: String,
    /// Certificates.
    pub tls: Tls,
    /// Deadlines and caps of every fetch.
    pub fetch: Fetch,
    /// Who is told what is wrong.
    pub alerts: Alerts,
    /// What mail is sent through; `None`: none is.
    pub mail: Option<Mail>,
    /// At which OpenID provider people sign in; `None`: at none.
    pub oidc: Option<Oidc>,
    /// The server's listeners and whom it trusts.
    pub server: Server,
    /// Keys and shared secrets.
    pub secrets: Secrets,
    /// `[secrets.NAME]`, by name: where secrets come from and go to.
    pub provisions: Vec<Provision>,
    /// `AGNES_SERVER_OWNER`: whose the files in `$STATE_DIR/secrets/live` are; `None`: whoever runs the command.
    pub server_owner: Option<FileOwner>,
    /// How often one caller may ask.
    pub limits: Limits,
    /// The audit log.
    pub audit: Audit,
    /// The database.
    pub store: Store,
    /// `[host]`.
    pub machine: Machine,
    /// `[upgrade]`.
    pub upgrade: Upgrade,
    /// `[snapshot]`.
    pub snapshot: Snapshot,
    /// `[[jobs]]`, in order; names are unique.
    pub jobs: Vec<Job>,
}

impl Settings {
    /// The ways of `[[tls.reload]]` when none are configured. Compose: SIGUSR1 to the service `caddy`, then a forced
    /// reload inside it. Process: SIGUSR1 to `agnesd`.
    pub fn default_reload(runtime: Runtime, state_dir: &Path) -> Vec<ReloadWay> {
        let caddy = || "caddy".to_owned();
        match runtime {
            Runtime::Compose => vec![
                ReloadWay::Signal {
                    target: ProcessTarget::ComposeService(caddy()),
                    signal: Signal::Usr1,
                },
                ReloadWay::CaddyAdmin {
                    target: CaddyTarget::ComposeService {
                        service: caddy(),
                        config: "/etc/caddy/Caddyfile".to_owned(),
                    },
                },
            ],
            Runtime::Process => vec![ReloadWay::Signal {
                target: ProcessTarget::PidFile(state_dir.join("agnesd.pid")),
                signal: Signal::Usr1,
            }],
        }
    }
}

/// How the services run: `AGNES_RUNTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Docker Compose in `dir` (the default).
    Compose,
    /// One `agnesd` process, started by `agnes-ops up`.
    Process,
}

/// `[tls]`.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `DOMAIN` (default `localhost`, allowed only while no chain is fetched).
    pub domain: Domain,
    /// `DOMAIN_ALIAS`: further names the certificate must cover, comma or space separated; usually none. Each stands here
    /// once, and never `domain`.
    pub aliases: Vec<Domain>,
    /// `TLS_FULLCHAIN_URL`; `None`: nothing to rotate.
    pub fullchain_url: Option<SourceUrl>,
    /// `TLS_PRIVKEY_URL`; `None`: the key is made on the host and never leaves it.
    pub privkey_url: Option<SourceUrl>,
    /// `TLS_CSR_SUBJECT` as `(attribute, value)` in the order given, e.g. `("CN", "agnes.example.com")`; default `CN=<DOMAIN>`.
    /// Attributes: C, ST, L, O, OU, CN, emailAddress, serialNumber.
    pub csr_subject: Vec<(String, String)>,
    /// `TLS_SERVED_ADDRESS`: where the proof looks.
    pub served_address: ServedAddress,
    /// `TLS_CA_BUNDLE`: the only roots trusted for https fetches; `None`: the host's own.
    pub ca_bundle: Option<PathBuf>,
    /// `TLS_KEY_TYPE`; `None`: RSA-2048 for a new key, and an adopted key of any sound type is kept.
    pub key_type: Option<KeyType>,
    /// `TLS_FILE_OWNER`; `None`: whoever runs the command.
    pub file_owner: Option<FileOwner>,
    /// `[[tls.reload]]`, in order; never empty (see [`Settings::default_reload`] for the defaults).
    pub reload: Vec<ReloadWay>,
}

impl Tls {
    /// Names that were written twice, or that are the domain itself, would ask a CA for the same name twice.
    pub(crate) fn keep_each_alias_once(&mut self) {
        let mut seen = vec![self.domain.clone()];
        self.aliases.retain(|alias| {
            let new = !seen.contains(alias);
            if new {
                seen.push(alias.clone());
            }
            new
        });
    }
}

/// `[fetch]`.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// `connect_timeout` (default 5 s): name resolution, TCP and TLS.
    pub connect_timeout: Duration,
    /// `timeout` (default 25 s): one whole fetch, retries included.
    pub timeout: Duration,
    /// `max_size` in bytes (default 1 MiB).
    pub max_bytes: u64,
    /// `AGNES_SM_ENDPOINT`: https, or http on loopback; `None`: Google's own.
    pub sm_endpoint: Option<url::Url>,
    /// `AGNES_GCS_ENDPOINT`: https, or http on loopback; `None`: Google's own.
    pub gcs_endpoint: Option<url::Url>,
    /// `GOOGLE_CLOUD_PROJECT`; `None`: the metadata server's, where there is one.
    pub google_project: Option<String>,
}

/// A DNS name, lower-case, without a trailing dot: labels of letters, digits and inner hyphens; the first may be `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Domain(pub(crate) String);

impl Domain {
    /// The name as it stands in a SAN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the served certificate is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedAddress {
    /// `none`: no proof is made, and reports say so.
    Off,
    /// `host:port`; the host may be a name or an address.
    At(String),
}

/// `TLS_KEY_TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `rsa-2048`
    Rsa2048,
    /// `rsa-3072`
    Rsa3072,
    /// `rsa-4096`
    Rsa4096,
    /// `ecdsa-p256`
    EcdsaP256,
    /// `ecdsa-p384`
    EcdsaP384,
}

/// `TLS_FILE_OWNER`, numeric `uid:gid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOwner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// One `[[tls.reload]]` entry: a way to make the proxy read its files again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadWay {
    /// `kind = "signal"`.
    Signal {
        /// Whom.
        target: ProcessTarget,
        /// `signal` (default `SIGUSR1`).
        signal: Signal,
    },
    /// `kind = "caddy-admin"`: load the running configuration again, forced.
    CaddyAdmin {
        /// Which Caddy.
        target: CaddyTarget,
    },
    /// `kind = "command"`: `argv`, never through a shell.
    Command {
        /// Program and arguments; never empty.
        argv: Vec<String>,
    },
    /// `kind = "restart"`: never among the defaults.
    Restart {
        /// What.
        target: RestartTarget,
    },
}

/// Whom a signal goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessTarget {
    /// `pid_file`.
    PidFile(PathBuf),
    /// `unit`: the main process of a systemd unit.
    Unit(String),
    /// `compose_service`: the first process of the service's containers.
    ComposeService(String),
}

/// Which Caddy is asked through its admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaddyTarget {
    /// `url` of the admin endpoint, e.g. `http://127.0.0.1:2019`.
    Url(url::Url),
    /// `compose_service`: `caddy reload --force` executed inside it, with `config` (default `/etc/caddy/Caddyfile`).
    ComposeService {
        /// Service name.
        service: String,
        /// Path of the configuration inside the container.
        config: String,
    },
}

/// What a restart restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartTarget {
    /// `unit`.
    Unit(String),
    /// `compose_service`.
    ComposeService(String),
}

/// The signals a reload may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGUSR1`
    Usr1,
    /// `SIGUSR2`
    Usr2,
    /// `SIGHUP`
    Hup,
}

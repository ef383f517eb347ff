//! The command line, whole, and the manual that `--help` prints.
//!
//! Always true: `-C` is accepted before and after the verb; no verb means `serve`.
//!
//! Does not: read the environment or act.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

use crate::app;

/// The Agnes API server.
///
/// Serves plain HTTP on AGNES_LISTEN and, when AGNES_TLS_LISTEN is set, HTTPS with the certificate under
/// $STATE_DIR/certs. `agnes-ops` makes and rotates that certificate; `agnesd` picks it up on SIGUSR1 without
/// losing a connection.
#[derive(Debug, Parser)]
#[command(name = "agnesd", version = VERSION.as_str(), after_long_help = MANUAL, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The deployment's directory: .env, agnes.toml, agnes.toml.d/. It need not exist [default: $AGNES_DIR, else
    /// /opt/agnes]
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// What to do [default: serve]
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Serve until SIGTERM (the default)
    #[command(after_help = "Settings, signals, files and exit codes: `agnesd --help`")]
    Serve,
    /// The database while no server runs: check, migrate, verify, export, recover
    #[command(after_help = DB)]
    Db(Db),
    /// The audit log while no server runs: verify
    Audit(Audit),
    /// What the repository's documents are written from
    #[command(hide = true)]
    Print {
        /// Which
        document: Document,
    },
    /// A one-time secret that signs a person in, from the running server
    #[command(name = "sign-in-link")]
    SignInLink {
        /// Whom
        #[arg(value_name = "EMAIL")]
        email: String,
    },
}

/// The documents that are written from the routes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Document {
    /// docs/openapi.json
    Openapi,
    /// docs/access.md
    Access,
}

/// `audit` and what is common to its verbs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Audit {
    /// Print one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: AuditVerb,
}

/// The verbs of `audit`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuditVerb {
    /// Read the whole chain: exit 0, or 1 with every edit, gap and cut tail that shows
    Verify {
        /// The database [default: $STATE_DIR/system.duckdb]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Where a copy is made when a write-ahead log is left [default: $TMPDIR, else /tmp]
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
}

/// `db` and what is common to its verbs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Db {
    /// Print one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: DbVerb,
}

/// The verbs of `db`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DbVerb {
    /// Open it, its write-ahead log included, and read all of it
    Check {
        /// The file [default: $STATE_DIR/system.duckdb]
        file: Option<PathBuf>,
    },
    /// Apply what this program's schema has and the file has not; copies the file first
    Migrate {
        /// The file [default: $STATE_DIR/system.duckdb]
        file: Option<PathBuf>,
    },
    /// Read all of a copy of FILE; FILE itself is not written
    Verify {
        /// The file
        file: PathBuf,
        /// Where the copy is made and removed [default: $TMPDIR, else /tmp]
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
    /// Copy the database to DST, prove the copy and print its manifest
    Export {
        /// The new file; it must not exist
        #[arg(value_name = "DST")]
        to: PathBuf,
        /// The file to copy [default: $STATE_DIR/system.duckdb]
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Say what a quarantined write-ahead log puts at risk, or serve without it
    Recover {
        /// Serve the database as of its last checkpoint; the quarantined log stays where it is
        #[arg(long)]
        accept_loss: bool,
    },
    /// A start's child: open with the write-ahead log, checkpoint, close
    #[command(hide = true)]
    Replay {
        file: PathBuf,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// A start's child: copy bytes
    #[command(hide = true)]
    Copy {
        from: PathBuf,
        to: PathBuf,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// A start's child: open read-only and read all of it
    #[command(hide = true)]
    Prove {
        file: PathBuf,
        #[command(flatten)]
        bounds: Bounds,
    },
}

impl DbVerb {
    /// As it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Check { .. } => "check",
            Self::Migrate { .. } => "migrate",
            Self::Verify { .. } => "verify",
            Self::Export { .. } => "export",
            Self::Recover { .. } => "recover",
            Self::Replay { .. } => "replay",
            Self::Copy { .. } => "copy",
            Self::Prove { .. } => "prove",
        }
    }
}

/// What a child may use, and whom it ends with.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Bounds {
    #[arg(long, default_value_t = 512 << 20)]
    pub(crate) memory_bytes: u64,
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u32,
    #[arg(long)]
    pub(crate) parent: Option<u32>,
}

const DB: &str = "\
Each verb but `verify` takes the lock of a server and is refused while one runs. The file is read by a child process.

EXIT CODES
  0   done; check and verify: no finding
  1   refused or failed (in use, quarantined, not readable), or there is a finding
  2   the command line is wrong
  10  recover without --accept-loss: there is something to decide, nothing was changed
  78  the file's schema is newer than this program, or is not its schema
";

/// `0.1.0 (1a2b3c4d5e6f)`, or the version alone.
static VERSION: LazyLock<String> = LazyLock::new(|| match app::COMMIT {
    Some(commit) => format!("{} ({commit})", app::VERSION),
    None => app::VERSION.to_owned(),
});

const MANUAL: &str = "\
SETTINGS
  Low to high: default, DIR/agnes.toml, DIR/agnes.toml.d/*.toml, DIR/.env, the environment.

  AGNES_LISTEN      plain HTTP, address:port              [127.0.0.1:8000]
  AGNES_TLS_LISTEN  HTTPS, address:port                   [unset: off]
  DATA_DIR          the data disk's mount point           [/data]
  STATE_DIR         durable state                         [$DATA_DIR/state]
  LOG_LEVEL         a filter such as info or agnesd=debug [info]
  [server] drain    agnes.toml: how long a stop waits     [25s]

ADDRESSES
  GET /api/health   {\"status\":\"ok\"}
  GET /api/version  version, and the commit if the build knew it
  GET /healthz      live: 200 while the process answers
  GET /readyz       ready: 200, or 503 with `reasons` (draining)

  Anything else is an application/problem+json document. Every answer has an x-request-id, which such a document repeats.

LIMITS
  A body of 1 MiB (413) that arrives within 30 s of its first read (408); an address of 8 KiB (414); header fields of
  32 KiB in sum, and 100 of them (431); 1024 connections on each listener, more wait.

TLS
  certs/current is opened once and both files are read from what it leads to; without that link, certs/privkey.pem
  and certs/fullchain.pem are read. A pair is used only if every block of the chain parses and the key belongs to
  the leaf. At start a missing or unsound pair is exit 1: a server without its TLS would go unnoticed. Later a
  refused pair is logged and the one in use stays. Dates are warned of, not enforced: `agnes-ops tls check` judges.
  TLS 1.2 and 1.3; h2 and http/1.1.

SIGNALS
  SIGUSR1, SIGHUP   read the certificate again; connections in use keep theirs, none is lost
  SIGTERM, SIGINT   stop: /readyz turns 503, listeners close, requests in flight finish; a second one cuts them off

FILES
  $STATE_DIR              must be a directory or have a parent to be made in
  $STATE_DIR/certs/       the certificate
  $STATE_DIR/agnesd.pid   written once everything listens, removed by a stop; where `agnes-ops` sends signals
  $STATE_DIR/agnesd.lock  locked for life: one agnesd for each STATE_DIR
  $STATE_DIR/system.duckdb       the database; beside it .wal (writes since the last checkpoint), .lock
  $STATE_DIR/pre-migration/      a proven copy of the database from before each migration; yours to remove
  $STATE_DIR/quarantine/         write-ahead logs that could not be replayed, each with a copy and report.json

SYSTEMD
  Type=notify (or notify-reload): READY=1 once everything listens, RELOADING=1 around a reload, STOPPING=1, STATUS=,
  and WATCHDOG=1 when WatchdogSec= is set. Under journald the log has no timestamps of its own.

EXIT CODES
  0   stopped as asked, every request in flight finished
  1   did not start (port taken, no sound certificate, STATE_DIR in use), or requests were cut off by the stop
  2   the command line is wrong
  10  `db recover` without --accept-loss: there is something to decide
  78  the settings are invalid: all problems are listed, nothing was started; or the database's schema is newer than this
      program or not its schema

EXAMPLES
  agnesd db check                                read all of the database and say whether it is sound
  agnesd                                         serve with the settings of /opt/agnes
  agnesd -C ./.agnes serve                       serve another deployment
  STATE_DIR=/tmp/agnes LOG_LEVEL=debug agnesd    no files, environment alone
  kill -USR1 $(cat /data/state/agnesd.pid)       take up a new certificate
";

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
    /// Is the running server ready? Exit 0 or 1
    #[command(after_help = HEALTH)]
    Health,
    /// What the repository's documents are written from
    #[command(hide = true)]
    Print {
        /// Which
        document: Document,
    },
    /// A one-time secret that signs a person in, from the running server
    #[command(name = "sign-in-link", after_help = SIGN_IN_LINK)]
    SignInLink {
        /// Whom: the address of a user that is not disabled
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
    #[command(after_help = AUDIT_VERIFY)]
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
    /// A start's child: put a copy onto the disk and read it back
    #[command(hide = true)]
    Seal {
        copy: PathBuf,
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
            Self::Seal { .. } => "seal",
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

const AUDIT_VERIFY: &str = "\
Prints findings, and what is none: rows in which a start told of a database that was put back or a
damaged log, and `note:` lines for what was not checked. docs/server.md#audit lists the findings.

EXIT CODES
  0   no finding
  1   refused or failed (in use, not readable), or there is a finding
  2   the command line is wrong
  78  the settings are invalid
";

const HEALTH: &str = "\
Asks /readyz at AGNES_LISTEN, within 4 seconds; what is not ready is told on standard error.

EXIT CODES
  0   ready
  1   not ready, or no server answers
  2   the command line is wrong
  78  the settings are invalid
";

const SIGN_IN_LINK: &str = "\
Asks the control socket, so as root or as the server's own user. The secret goes to standard output;
within 15 minutes and once: POST /auth/magic/verify {\"token\": \"…\"}.

EXIT CODES
  0   printed
  1   nothing was made: no server runs, it did not let us, or there is no such user
  2   the command line is wrong
  78  the settings are invalid
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
  GET /api/docs     every address, who may call it, what it takes and answers
  GET /login        for people with a browser; GET / is what they see then
  GET /api/events   what happens as it happens, over a WebSocket
  GET /healthz      live: 200 while the process answers
  GET /readyz       ready: 200, or 503 with `reasons` (draining, store)

  Errors are application/problem+json documents. Every answer has an x-request-id, which such a
  document repeats.

LIMITS
  A body of 1 MiB (413) that arrives within 30 s of its first read (408), but for files, which may
  have 4 GiB and take as long as they go on; an address of 8 KiB
  (414); header fields of 32 KiB in sum, and 100 of them (431); 1024 connections on each listener:
  for one more, the one that has waited longest for its client is closed.

TLS
  certs/current is opened once and both files are read from what it leads to; without that link,
  certs/privkey.pem and certs/fullchain.pem are read. A pair is used only if every block of the
  chain parses and the key belongs to the leaf. At start a missing or unsound pair is exit 1: a
  server without its TLS would go unnoticed. Later a refused pair is logged and the one in use
  stays. Dates are warned of, not enforced: `agnes-ops tls check` judges.
  TLS 1.2 and 1.3; h2 and http/1.1.

SIGNALS
  SIGUSR1, SIGHUP   read the certificate again; connections in use keep theirs, none is lost
  SIGHUP            also the secrets and their files: two keys verify, the first signs; a bad one
                    is refused and those in use stay. Every other setting needs a restart
  SIGTERM, SIGINT   stop: /readyz turns 503, listeners close, requests in flight finish; a second
                    one cuts them off

FILES
  $STATE_DIR                  must be a directory or have a parent to be made in
  $STATE_DIR/certs/           the certificate
  $STATE_DIR/system.duckdb    the database; nobody else may open it while the server runs. Beside it
                              .wal (writes since the last checkpoint) and .lock
  $STATE_DIR/audit.head       the audit log's head outside of it, signed with audit.key
  $STATE_DIR/pre-migration/   a proven copy of the database from before each migration; yours to
                              remove
  $STATE_DIR/quarantine/      write-ahead logs that could not be replayed, each with a copy and
                              report.json
  $STATE_DIR/agnesd.pid       written once everything listens, removed by a stop; where `agnes-ops`
                              sends signals
  $STATE_DIR/agnesd.lock      locked for life: one agnesd for each STATE_DIR
  $DATA_DIR/run/agnesd.sock   the control socket; hold.json beside it while writes are held
  $DATA_DIR/files/            what was uploaded
  $DATA_DIR/snapshots/        copies that the control socket was asked for; yours to remove

SYSTEMD
  Type=notify (or notify-reload): READY=1 once everything listens, RELOADING=1 around a reload,
  STOPPING=1, STATUS=, and WATCHDOG=1 when WatchdogSec= is set. Under journald the log has no
  timestamps of its own.

EXIT CODES
  0   stopped as asked, every request in flight finished; a verb: done, no finding
  1   did not start (port taken, no sound certificate, STATE_DIR or database in use, a write-ahead
      log in quarantine); or the stop was not clean (requests cut off, jobs interrupted, the
      write-ahead log not folded in) or came because the database has to be opened anew; a verb:
      refused, failed, or with a finding
  2   the command line is wrong
  10  `db recover` without --accept-loss: there is something to decide
  78  the settings are invalid: all problems are listed, nothing was started; or the database's
      schema is newer than this program or not its schema

EXAMPLES
  agnesd                                         serve with the settings of /opt/agnes
  agnesd -C ./.agnes serve                       serve another deployment
  agnesd db check                                read all of the database: is it sound?
  STATE_DIR=/tmp/agnes LOG_LEVEL=debug agnesd    no files, environment alone
  kill -USR1 $(cat /data/state/agnesd.pid)       take up a new certificate
";

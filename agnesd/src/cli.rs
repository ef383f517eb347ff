//! The command line, whole, and the manual that `--help` prints.
//!
//! Always true: `-C` is accepted before and after the verb; no verb means `serve`.
//!
//! Does not: read the environment or act.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

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
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Verb {
    /// Serve until SIGTERM (the default)
    #[command(after_help = "Settings, signals, files and exit codes: `agnesd --help`")]
    Serve,
}

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

SYSTEMD
  Type=notify (or notify-reload): READY=1 once everything listens, RELOADING=1 around a reload, STOPPING=1, STATUS=,
  and WATCHDOG=1 when WatchdogSec= is set. Under journald the log has no timestamps of its own.

EXIT CODES
  0   stopped as asked, every request in flight finished
  1   did not start (port taken, no sound certificate, STATE_DIR in use), or requests were cut off by the stop
  2   the command line is wrong
  78  the settings are invalid: all problems are listed, nothing was started

EXAMPLES
  agnesd                                         serve with the settings of /opt/agnes
  agnesd -C ./.agnes serve                       serve another deployment
  STATE_DIR=/tmp/agnes LOG_LEVEL=debug agnesd    no files, environment alone
  kill -USR1 $(cat /data/state/agnesd.pid)       take up a new certificate
";

//! The command line, whole: every verb, flag and the table of exit codes.
//!
//! Always true: `-C`, `--json` and `--lock-wait` mean the same for every verb and stand before or after it; `--dry-run` is a flag of
//! the verbs that change the host, stands after the verb, and means that nothing is done.
//!
//! Does not: do anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::incident::{Audit, Incident, RateLimit};
pub use self::upgrade::{Upgrade, UpgradeApply, UpgradeArgs};
use self::values::{absolute, octal};
use crate::snapshot::Reason;

mod incident;
mod nature;
mod upgrade;
mod values;

const EXIT_CODES: &str = "\
Exit codes:
  0    ok        unchanged or changed; the host is as desired
  1    failed    did not get there, or rolled back; the host is as before, or as the message says
  2    usage     the command line is wrong; the host is untouched
  10   drift     only from check, status and doctor: there is work or a finding
  75   deferred  another run holds the lock, or something has to pass first; the next tick retries
  78   config    settings are invalid; all of them are listed with file:line
  100  degraded  the way back failed too; the message says how the host was left

Outcomes (in --json): unchanged, changed, deferred, rolled-back, degraded.
Logs go to stderr; --json prints exactly one object on stdout.";

/// Keeps an Agnes host right, its certificates, secrets, snapshots and upgrades: observe, plan, apply, prove, or roll back.
#[derive(Debug, Parser)]
#[command(name = "agnes-ops", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every verb takes, before or after it.
#[derive(Debug, Args)]
pub struct Global {
    /// The deployment's directory: .env, agnes.toml, agnes.toml.d/ [default: $AGNES_DIR, else /opt/agnes]
    #[arg(short = 'C', long = "dir", global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print exactly one JSON object on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Wait up to so long for another run that is at work, as 15m; without it a run defers at once.
    #[arg(long, global = true, value_name = "TIME", value_parser = agnes_config::duration, default_value = "0s", hide_default_value = true)]
    pub lock_wait: Duration,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the service up (runtime "process"): key, request, certificate, agnesd, and the proof that it serves.
    Up {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop the service (runtime "process"): SIGTERM, and wait until it has drained.
    Down {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// One screen: what runs, what is served, what to do next. Exit 0 or 10; asks no source.
    Status(Status),
    /// Certificates.
    #[command(subcommand)]
    Tls(Tls),
    /// Secrets: made or fetched once, told to the server and to Compose.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Snapshots: proven copies of the database and its configuration, and the way back.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Upgrade the Compose stack's image: one tick of the timer, or a verb.
    Upgrade(UpgradeArgs),
    /// What this program ships, as files of the deployment.
    #[command(subcommand)]
    Render(Render),
    /// The systemd units: timers, boot, alert, and the server where it runs without Docker.
    #[command(subcommand)]
    Units(Units),
    /// From whatever this host is to one that serves: units, disk, directories, Docker, image, secrets, certificate, stack; at every boot.
    Boot(Boot),
    /// Print a shell's completions of this command line.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a page of the manual for each command.
    Man {
        /// The directory.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Do the real thing with every part, and say what is wrong, what it comes from and what to do. Exit 0 or 10.
    Doctor(Doctor),
    /// Take over a host that shell scripts looked after: certificates, secrets, units; their cron lines and timers go off. Or give it back.
    Adopt {
        /// Their cron lines and timers go on again, ours go, and the certificate is regular files.
        #[arg(long)]
        give_back: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Quick looks, by a timer every minute: what is wrong becomes an alert. Exit 0 when every finding is kept.
    Watch,
    /// Keep an alert for a unit that failed, as agnes-alert@.service does.
    Alert {
        /// Which, as agnes-upgrade.service.
        unit: String,
    },
    /// Somebody's credentials are in the wrong hands, or somebody is refused too much: asks, acts, and keeps a record.
    #[command(subcommand)]
    Incident(Incident),
    /// The audit log, the last written first, and whether its chain is whole. Exit 1 when it is not.
    Audit(Audit),
    /// One file to attach to a ticket: status, doctor, journals, logs and the configuration, without secrets and names of people.
    Report(Bundle),
    /// Fetch one URL (https, sm, gs, file) as `tls rotate` would.
    Fetch(Fetch),
    /// The configuration, with where each value comes from.
    #[command(subcommand)]
    Config(Config),
}

/// `tls …`
#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Fetch, validate, install as one generation, reload, prove the served leaf; or put the old pair back.
    Rotate {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Accept a chain that was issued and expires before the installed one.
        #[arg(long)]
        allow_older: bool,
    },
    /// Compare desired, disk, served and source; change nothing. Exit 0 or 10.
    Check,
    /// Make or show cert.csr, the request to submit to the CA.
    Csr {
        /// Print the request itself.
        #[arg(long)]
        print: bool,
        /// Make a new key for it; the old one keeps serving until the CA answers.
        #[arg(long)]
        new_key: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show a chain: of a PEM file, or of what HOST:PORT presents.
    Inspect {
        /// A PEM file, or HOST:PORT.
        #[arg(value_name = "FILE|HOST:PORT")]
        target: String,
        /// Ask for this name instead of HOST.
        #[arg(long, value_name = "NAME")]
        server_name: Option<String>,
    },
    /// Reload without rotating, and prove the served leaf.
    Reload {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `secrets …`
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Make what is missing, keep what is there, fetch what has a source, and write .env.
    Ensure {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Each secret with its source, length, age, when it is due and who reads it; never a value.
    List,
    /// Put a new value beside the old one, prove both, and take the old one away when nothing needs it any more. Without a
    /// name: go on with what is open, as the timer does.
    Rotate {
        /// Which secret.
        #[arg(
            value_enum,
            value_name = "jwt|session|scheduler",
            required_if_eq("now", "true")
        )]
        secret: Option<Rotated>,
        /// The old value is compromised: refuse it at once.
        #[arg(long, conflicts_with_all = ["rollback", "wait"])]
        now: bool,
        /// Stay until the old value is retired; the lock is not held meanwhile.
        #[arg(long, conflicts_with = "rollback")]
        wait: bool,
        /// Take back a rotation whose old value has not been retired.
        #[arg(long)]
        rollback: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Short, guessable, shared, overdue, readable by others, not in use; change nothing. Exit 0 or 10.
    Check,
}

/// What `secrets rotate` rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rotated {
    /// JWT_SECRET_KEY.
    Jwt,
    /// SESSION_SECRET.
    Session,
    /// SCHEDULER_API_TOKEN.
    Scheduler,
}

/// `snapshot …`
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Make one: by the server while it runs, else by its program.
    Create {
        /// Why, as it stands in its name: a-z, 0-9 and -.
        #[arg(long, value_name = "WORD", default_value = "manual")]
        reason: Reason,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// All of them, the oldest first, and what is known of each.
    List,
    /// Open a copy, compare it with its manifest, migrate it with the version that runs. Exit 0, or 1 with a finding per damage.
    Verify {
        /// Which; without it the newest.
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// Every one.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Restore the newest proven one into a scratch place, serve it there, and record how long that took.
    Drill,
    /// Put one in place of the live database: proven beside it first, gated after it, taken back on any failure; what is there
    /// now is kept.
    Restore {
        /// Which.
        #[arg(value_name = "ID")]
        id: String,
        /// Its configuration too; secrets in .env stay as they are.
        #[arg(long)]
        with_config: bool,
        /// Its secrets too, which were encrypted with age: into .env, and from there as `secrets ensure` does.
        #[arg(long, requires = "identity")]
        with_secrets: bool,
        /// The file with the identity that they are decrypted with.
        #[arg(long, value_name = "FILE", requires = "with_secrets")]
        identity: Option<PathBuf>,
        /// Ask nothing on a terminal.
        #[arg(long)]
        yes: bool,
        /// Say what would be lost, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Put a proven one into a bucket or onto another disk, read it back, and keep what retention keeps there.
    Push {
        /// gs://bucket/prefix or file:///directory; without it snapshot.push_to.
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// Which; without it the newest proven one.
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Fetch one from there, compared while it comes, and proven afterwards.
    Pull {
        /// gs://bucket/prefix or file:///directory, with or without the snapshot's name at its end; without it snapshot.push_to.
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// Which; without it the newest that is there.
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Remove what retention lets go: the newest proven one always stays.
    Prune {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `render …`
#[derive(Debug, Subcommand)]
pub enum Render {
    /// Write the Compose files and the proxy's configuration that the settings ask for, and name them in .env
    /// (COMPOSE_FILE). Files named *.override.* are yours and never written.
    Compose {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// The parent process holds the deployment's lock, and waits for this one.
        #[arg(long, hide = true)]
        of_parent: bool,
    },
    /// Print the startup script of a cloud's machine, as Terraform renders it.
    StartupScript {
        /// The template's variables as JSON: agnes_ops_url, agnes_ops_sha256, config.
        #[arg(long, value_name = "FILE")]
        vars: PathBuf,
    },
    /// Print the .env that a machine with these variables begins with.
    Env {
        /// As for startup-script.
        #[arg(long, value_name = "FILE")]
        vars: PathBuf,
    },
    /// Print the systemd units of a machine with these variables; without them, those of this deployment.
    Units {
        /// As for startup-script.
        #[arg(long, value_name = "FILE")]
        vars: Option<PathBuf>,
    },
}

/// `units …`
#[derive(Debug, Subcommand)]
pub enum Units {
    /// Have the units that the settings ask for, enabled and running, and no other of ours.
    Install {
        /// The parent process holds the deployment's lock, and waits for this one.
        #[arg(long, hide = true)]
        of_parent: bool,
        /// Below this directory, and no systemd is told.
        #[arg(long, value_name = "DIR", value_parser = absolute())]
        root: Option<PathBuf>,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Have none of our units; the server and its data are left alone.
    Remove {
        /// Below this directory, and no systemd is told.
        #[arg(long, value_name = "DIR", value_parser = absolute())]
        root: Option<PathBuf>,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Each unit, as it is and as it should be; change nothing. Exit 0 or 10.
    Status {
        /// Below this directory, and no systemd is asked.
        #[arg(long, value_name = "DIR", value_parser = absolute())]
        root: Option<PathBuf>,
    },
}

/// `boot`
#[derive(Debug, Args)]
pub struct Boot {
    /// The configuration that came with the machine, as JSON: {"version": 1, "env": {…}, "settings": {…}}.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Everything of the host is below this directory, but for what -C names, and no systemd is told.
    #[arg(long, value_name = "DIR", value_parser = absolute())]
    pub root: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Show it again every 2 seconds, until interrupted; with --json a line for each.
    #[arg(long)]
    pub watch: bool,
}

/// `report`
#[derive(Debug, Args)]
pub struct Bundle {
    /// The file [default: agnes-report-TIME.tar.gz, here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at these checks alone, such as tls.served, or at these parts, such as tls [all of them]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Mend what is safe to mend: owners and modes, secrets, certificates, units.
    #[arg(long)]
    pub fix: bool,
}

/// `fetch URL`
#[derive(Debug, Args)]
pub struct Fetch {
    /// https://…, sm://[project/]secret, gs://bucket/object[#generation] or file:///path
    pub url: String,
    /// Install the bytes here, atomically; without it, or with -, they go to stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What it must be; anything else is refused as malformed.
    #[arg(long, value_enum, default_value_t = Kind::Any)]
    pub kind: Kind,
    /// Permission bits of FILE, octal [default: 0600 for a key, else 0644]
    #[arg(long, value_parser = octal)]
    pub mode: Option<u32>,
}

/// What a fetched file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Certificates in PEM, and nothing else.
    Cert,
    /// One private key in PEM.
    Key,
    /// Any bytes.
    Any,
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Every key, its value (secrets as their length) and its source.
    Show,
    /// Every problem, as file:line. Exit 0 or 78.
    Check,
}

#[cfg(test)]
mod tests;

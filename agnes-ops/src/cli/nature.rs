//! What each verb is: its name in reports, whether it changes the host, whether it needs a deployment.
//!
//! Always true: a verb that changes the host takes the lock and leaves a status record; with `--dry-run` it is one that does not.
//!
//! Does not: do anything.

use std::path::Path;

use super::{Boot, Command, Config, Incident, Render, Secrets, Snapshot, Tls, Units, Upgrade};

impl Snapshot {
    /// Whether nothing is to be done.
    pub fn is_dry_run(&self) -> bool {
        match self {
            Self::Create { dry_run, .. }
            | Self::Restore { dry_run, .. }
            | Self::Prune { dry_run } => *dry_run,
            _ => false,
        }
    }
}

impl Command {
    /// The command's name in reports, records and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Up { .. } => "up",
            Command::Down { .. } => "down",
            Command::Status(_) => "status",
            Command::Tls(Tls::Rotate { .. }) => "tls rotate",
            Command::Tls(Tls::Check) => "tls check",
            Command::Tls(Tls::Csr { .. }) => "tls csr",
            Command::Tls(Tls::Inspect { .. }) => "tls inspect",
            Command::Tls(Tls::Reload { .. }) => "tls reload",
            Command::Secrets(Secrets::Ensure { .. }) => "secrets ensure",
            Command::Secrets(Secrets::List) => "secrets list",
            Command::Secrets(Secrets::Check) => "secrets check",
            Command::Secrets(Secrets::Rotate { .. }) => "secrets rotate",
            Command::Snapshot(verb) => match verb {
                Snapshot::Create { .. } => "snapshot create",
                Snapshot::List => "snapshot list",
                Snapshot::Verify { .. } => "snapshot verify",
                Snapshot::Drill => "snapshot drill",
                Snapshot::Restore { .. } => "snapshot restore",
                Snapshot::Push { .. } => "snapshot push",
                Snapshot::Pull { .. } => "snapshot pull",
                Snapshot::Prune { .. } => "snapshot prune",
            },
            Command::Upgrade(args) => match &args.verb {
                None | Some(Upgrade::Apply(_)) => "upgrade",
                Some(Upgrade::Check) => "upgrade check",
                Some(Upgrade::Explain) => "upgrade explain",
                Some(Upgrade::Rehearse { .. }) => "upgrade rehearse",
                Some(Upgrade::Hold { .. }) => "upgrade hold",
                Some(Upgrade::Unhold) => "upgrade unhold",
                Some(Upgrade::Rollback { .. }) => "upgrade rollback",
                Some(Upgrade::History) => "upgrade history",
                Some(Upgrade::Forgive { .. }) => "upgrade forgive",
            },
            Command::Render(Render::Compose { .. }) => "render compose",
            Command::Render(Render::StartupScript { .. }) => "render startup-script",
            Command::Render(Render::Env { .. }) => "render env",
            Command::Render(Render::Units { .. }) => "render units",
            Command::Boot(_) => "boot",
            Command::Doctor(_) => "doctor",
            Command::Completions { .. } => "completions",
            Command::Man { .. } => "man",
            Command::Adopt { .. } => "adopt",
            Command::Watch => "watch",
            Command::Incident(Incident::Contain { .. }) => "incident contain",
            Command::Incident(Incident::RateLimit(_)) => "incident rate-limit",
            Command::Incident(Incident::List) => "incident list",
            Command::Audit(_) => "audit",
            Command::Report(_) => "report",
            Command::Alert { .. } => "alert",
            Command::Units(Units::Install { .. }) => "units install",
            Command::Units(Units::Remove { .. }) => "units remove",
            Command::Units(Units::Status { .. }) => "units status",
            Command::Fetch(_) => "fetch",
            Command::Config(Config::Show) => "config show",
            Command::Config(Config::Check) => "config check",
        }
    }

    /// Is about one deployment, whose directory must be there; the `config` verbs may also ask what the defaults are,
    /// as long as no directory was `named`.
    pub fn is_of_a_deployment(&self, named: bool) -> bool {
        match self {
            Command::Fetch(_)
            | Command::Alert { .. }
            | Command::Completions { .. }
            | Command::Man { .. }
            | Command::Tls(Tls::Inspect { .. }) => false,
            Command::Render(
                Render::StartupScript { .. } | Render::Env { .. } | Render::Units { vars: Some(_) },
            ) => false,
            // a blank machine has none yet; a boot makes it
            Command::Boot(_) => false,
            Command::Units(_) => self.root().is_none(),
            Command::Config(_) | Command::Status(_) | Command::Report(_) => named,
            _ => true,
        }
    }

    /// The tree that it works on; `None`: this host.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Command::Boot(boot) => boot.root.as_deref(),
            Command::Units(
                Units::Install { root, .. } | Units::Remove { root, .. } | Units::Status { root },
            ) => root.as_deref(),
            _ => None,
        }
    }

    /// Works also while the data disk is not there: on units, the boot disk alone, or to bring the disk.
    pub fn needs_no_disk(&self) -> bool {
        matches!(
            self,
            Command::Boot(_)
                | Command::Doctor(super::Doctor { fix: false, .. })
                | Command::Units(_)
                | Command::Render(_)
        )
    }

    /// Runs under its parent's lock.
    pub fn is_of_parent(&self) -> bool {
        matches!(
            self,
            Command::Render(Render::Compose {
                of_parent: true,
                ..
            }) | Command::Units(Units::Install {
                of_parent: true,
                ..
            })
        )
    }

    /// Changes the host: takes the lock and leaves a status record.
    pub fn changes(&self) -> bool {
        match self {
            Command::Doctor(doctor) => doctor.fix,
            Command::Boot(Boot { dry_run, .. })
            | Command::Adopt { dry_run, .. }
            | Command::Up { dry_run }
            | Command::Down { dry_run }
            | Command::Render(Render::Compose { dry_run, .. })
            | Command::Units(Units::Install { dry_run, .. } | Units::Remove { dry_run, .. })
            | Command::Secrets(Secrets::Ensure { dry_run } | Secrets::Rotate { dry_run, .. })
            | Command::Tls(
                Tls::Rotate { dry_run, .. } | Tls::Csr { dry_run, .. } | Tls::Reload { dry_run },
            ) => !dry_run,
            Command::Snapshot(verb) => match verb {
                Snapshot::Create { dry_run, .. }
                | Snapshot::Restore { dry_run, .. }
                | Snapshot::Prune { dry_run } => !dry_run,
                // they change nothing that is served, and remember what they found
                Snapshot::Verify { .. }
                | Snapshot::Drill
                | Snapshot::Push { .. }
                | Snapshot::Pull { .. } => true,
                Snapshot::List => false,
            },
            Command::Upgrade(args) => match &args.verb {
                None => !args.apply.dry_run,
                Some(Upgrade::Apply(apply)) => !apply.dry_run,
                Some(Upgrade::Rollback { dry_run, .. }) => !dry_run,
                Some(Upgrade::Forgive { .. } | Upgrade::Rehearse { .. }) => true,
                Some(_) => false,
            },
            _ => false,
        }
    }
}

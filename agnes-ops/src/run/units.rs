//! `units …`: what its verbs need besides the deployment.
//!
//! Always true: both verbs that write remember in one record what they wrote.
//!
//! Does not: know what a unit says.

use crate::cli;
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::units::{self, Options, Root};

use super::Environment;
use super::record::last_record;

pub(super) fn run(
    verb: &cli::Units,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let last = last_record(host, settings, "units-install");
    let options = |root, dry_run| Options {
        dry_run,
        root: Root::new(root),
        program: environment.program.as_deref(),
        memory: last.as_ref().and_then(|record| record.get("memory")),
    };
    match verb {
        cli::Units::Install { root, dry_run, .. } => {
            units::install(host, settings, &options(root.as_deref(), *dry_run))
        }
        cli::Units::Remove { root, dry_run } => {
            units::remove(host, settings, &options(root.as_deref(), *dry_run))
        }
        cli::Units::Status { root } => units::status(host, settings, Root::new(root.as_deref())),
    }
}

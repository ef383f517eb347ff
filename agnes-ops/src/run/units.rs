//! `units …`, as a command of its own.
//!
//! Always true: as its parent, which leaves the record.
//!
//! Does not: know what a unit says.

use super::Environment;
use super::commands::{Commands, Mode};
use crate::cli;
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::units::{self, Root};

pub(super) fn run(
    verb: &cli::Units,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let of = |dry_run, root| Commands {
        environment,
        deployment,
        mode: Mode::of(dry_run),
        root,
    };
    match verb {
        cli::Units::Install { root, dry_run, .. } => of(*dry_run, root.as_deref()).install_units(),
        cli::Units::Remove { root, dry_run } => of(*dry_run, root.as_deref()).remove_units(),
        cli::Units::Status { root } => units::status(
            deployment.host,
            deployment.settings,
            Root::new(root.as_deref()),
        ),
    }
}

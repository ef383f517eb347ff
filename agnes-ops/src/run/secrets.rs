//! The verbs of `secrets`, with what each takes from the environment and the last run.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use super::commands::{Commands, Mode};
use super::{Environment, server_program};
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::{cli, secrets, up};

/// Runs one of them.
///
/// # Errors
/// The verb's.
pub(super) fn run(
    verb: &cli::Secrets,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    match verb {
        cli::Secrets::Ensure { dry_run } => {
            let mode = Mode::of(*dry_run);
            let commands = Commands {
                environment,
                deployment,
                mode,
                root: None,
            };
            commands.ensure_secrets()
        }
        cli::Secrets::Rotate {
            secret,
            now,
            rollback,
            dry_run,
            ..
        } => {
            let Deployment { host, settings, .. } = deployment;
            let program = server_program(environment);
            let restart = || up::restart(host, settings, &program);
            let options = secrets::RotateOptions {
                restart: up::is_ours(host, settings).then_some(&restart),
                kind: secret.map(|secret| match secret {
                    cli::Rotated::Jwt => secrets::RotateKind::Jwt,
                    cli::Rotated::Session => secrets::RotateKind::Session,
                    cli::Rotated::Scheduler => secrets::RotateKind::Scheduler,
                }),
                at_once: *now,
                rollback: *rollback,
                dry_run: *dry_run,
                lookup: &lookup,
            };
            secrets::rotate(deployment, &options)
        }
        cli::Secrets::List => secrets::list(deployment, &lookup),
        cli::Secrets::Check => secrets::check(deployment, &lookup),
    }
}

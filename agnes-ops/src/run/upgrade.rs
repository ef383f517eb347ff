//! The verbs of `upgrade`, with what each takes from the environment and the last run.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use agnes_config::Wanted;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Environment, last_record, server_program};
use crate::cli;
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::{snapshot, upgrade};

/// Runs one of them.
///
/// # Errors
/// The verb's.
pub(super) fn run(
    args: &cli::UpgradeArgs,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let surroundings = upgrade::Surroundings {
        docker_host: environment.get("DOCKER_HOST"),
        docker_home: upgrade::Home::of(environment.get("DOCKER_CONFIG"), environment.get("HOME")),
    };
    let program = server_program(environment);
    let snapshots = snapshot::Surroundings {
        program: &program,
        docker_host: surroundings.docker_host,
    };
    let apply = |chosen| apply(chosen, environment, deployment, &surroundings, snapshots);
    let verb = match &args.verb {
        None => return apply(&args.apply),
        Some(verb) => verb,
    };
    match verb {
        cli::Upgrade::Apply(chosen) => apply(chosen),
        cli::Upgrade::Rollback { dry_run } => {
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            let options = upgrade::Options {
                dry_run: *dry_run,
                to: None,
                lookup: &lookup,
                snapshots,
                last: None,
            };
            upgrade::rollback(deployment, &surroundings, &options)
        }
        cli::Upgrade::Check => upgrade::check(deployment, &surroundings),
        cli::Upgrade::History => upgrade::history(deployment),
        cli::Upgrade::Forgive { digest } => match digest.parse() {
            Ok(digest) => upgrade::forgive(deployment, &digest),
            Err(why) => anyhow::bail!("{why}; nothing was touched"),
        },
        cli::Upgrade::Hold { until, why } => {
            // whoever became root for it is the person
            let by = ["SUDO_USER", "USER", "LOGNAME"];
            let by = by.iter().find_map(|name| environment.get(name));
            upgrade::hold(deployment, why, by.unwrap_or("unknown"), *until)
        }
        cli::Upgrade::Unhold => upgrade::unhold(deployment),
    }
}

fn apply(
    chosen: &cli::UpgradeApply,
    environment: &Environment,
    deployment: Deployment<'_>,
    surroundings: &upgrade::Surroundings<'_>,
    snapshots: snapshot::Surroundings<'_>,
) -> anyhow::Result<Report> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let last = last_record(deployment.host, deployment.settings, "upgrade");
    let last = last.as_ref().and_then(|record| record.get("at")?.as_str());
    let last = last.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let options = upgrade::Options {
        dry_run: chosen.dry_run,
        to: chosen
            .to
            .as_deref()
            .map(|to| match to.starts_with("sha256:") {
                true => Wanted::Digest(to.to_owned()),
                false => Wanted::Tag(to.to_owned()),
            }),
        lookup: &lookup,
        snapshots,
        last: last.map(OffsetDateTime::unix_timestamp),
    };
    upgrade::apply(deployment, surroundings, &options)
}

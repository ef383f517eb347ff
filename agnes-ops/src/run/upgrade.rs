//! The verbs of `upgrade`, with what each takes from the environment and the last run.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use agnes_config::{Loaded, Wanted};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::doctor::surroundings;
use super::snapshot::finish_restore;
use super::{Environment, RENDERED, last_record, record, render_compose, server_program};
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
    loaded: &Loaded,
) -> anyhow::Result<Report> {
    let surroundings = surroundings(environment);
    let program = server_program(environment);
    let snapshots = snapshot::Surroundings {
        program: &program,
        docker_host: surroundings.docker_host,
    };
    // as the command itself would, its record included
    let render = || {
        let report = render_compose(environment, deployment, loaded, false);
        let Deployment { host, settings, .. } = deployment;
        record(host, settings, None, "render compose", &report, 0)?;
        Ok(report)
    };
    let ours = last_record(deployment.host, deployment.settings, RENDERED).is_some();
    let render = ours.then_some(&render as &dyn Fn() -> anyhow::Result<Report>);
    let restore = || finish_restore(environment, deployment, false);
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let options = upgrade::Options {
        dry_run: false,
        to: None,
        with_data: false,
        lookup: &lookup,
        render,
        restore: &restore,
        snapshots,
        last: None,
    };
    let apply = |chosen: &cli::UpgradeApply| {
        let options = upgrade::Options {
            dry_run: chosen.dry_run,
            to: chosen.to.as_deref().map(wanted),
            last: last_tick(deployment),
            ..options.clone()
        };
        upgrade::apply(deployment, &surroundings, &options)
    };
    let verb = match &args.verb {
        None => return apply(&args.apply),
        Some(verb) => verb,
    };
    match verb {
        cli::Upgrade::Apply(chosen) => apply(chosen),
        cli::Upgrade::Rollback { with_data, dry_run } => {
            let options = upgrade::Options {
                dry_run: *dry_run,
                with_data: *with_data,
                ..options.clone()
            };
            upgrade::rollback(deployment, &surroundings, &options)
        }
        cli::Upgrade::Check => upgrade::check(deployment, &surroundings, &lookup),
        cli::Upgrade::Explain => upgrade::explain(deployment, &surroundings),
        cli::Upgrade::Rehearse { to } => {
            let options = upgrade::Options {
                to: to.as_deref().map(wanted),
                ..options.clone()
            };
            upgrade::rehearse(deployment, &surroundings, &options)
        }
        cli::Upgrade::History => upgrade::history(deployment),
        cli::Upgrade::Forgive { digest } => match digest.parse() {
            Ok(digest) => upgrade::forgive(deployment, &digest),
            Err(why) => anyhow::bail!("{why}; nothing was touched"),
        },
        cli::Upgrade::Hold { until, why } => {
            upgrade::hold(deployment, why, environment.person(), *until)
        }
        cli::Upgrade::Unhold => upgrade::unhold(deployment),
    }
}

fn wanted(to: &str) -> Wanted {
    match to.starts_with("sha256:") {
        true => Wanted::Digest(to.to_owned()),
        false => Wanted::Tag(to.to_owned()),
    }
}

/// When the last tick ended, in seconds since 1970.
fn last_tick(deployment: Deployment<'_>) -> Option<i64> {
    let last = last_record(deployment.host, deployment.settings, "upgrade")?;
    let at = OffsetDateTime::parse(last.get("at")?.as_str()?, &Rfc3339).ok()?;
    Some(at.unix_timestamp())
}

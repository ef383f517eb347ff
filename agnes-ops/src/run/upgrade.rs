//! The verbs of `upgrade`, with what each takes from the environment and the last run.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use agnes_config::{Loaded, Wanted};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Environment, RENDERED, last_record, record, render_compose, server_program};
use crate::cli;
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::{snapshot, upgrade};

/// `render compose`.
type Render<'a> = &'a dyn Fn() -> anyhow::Result<Report>;

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
    let surroundings = upgrade::Surroundings {
        docker_host: environment.get("DOCKER_HOST"),
        docker_home: upgrade::Home::of(environment.get("DOCKER_CONFIG"), environment.get("HOME")),
    };
    let program = server_program(environment);
    let snapshots = snapshot::Surroundings {
        program: &program,
        docker_host: surroundings.docker_host,
    };
    // as the command itself would, its record included
    let render = || {
        let report = render_compose(environment, deployment, loaded, false);
        let Deployment { host, settings, .. } = deployment;
        record(host, settings, "render compose", &report, 0)?;
        Ok(report)
    };
    let ours = last_record(deployment.host, deployment.settings, RENDERED).is_some();
    let render = ours.then_some(&render as &dyn Fn() -> anyhow::Result<Report>);
    let apply = |chosen| {
        let with = (render, snapshots);
        apply(chosen, environment, deployment, &surroundings, with)
    };
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
                render,
                snapshots,
                last: None,
            };
            upgrade::rollback(deployment, &surroundings, &options)
        }
        cli::Upgrade::Check => {
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            upgrade::check(deployment, &surroundings, &lookup)
        }
        cli::Upgrade::Explain => upgrade::explain(deployment, &surroundings),
        cli::Upgrade::Rehearse { to } => {
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            let options = upgrade::Options {
                dry_run: false,
                to: to.as_deref().map(wanted),
                lookup: &lookup,
                render,
                snapshots,
                last: None,
            };
            upgrade::rehearse(deployment, &surroundings, &options)
        }
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

fn wanted(to: &str) -> Wanted {
    match to.starts_with("sha256:") {
        true => Wanted::Digest(to.to_owned()),
        false => Wanted::Tag(to.to_owned()),
    }
}

fn apply(
    chosen: &cli::UpgradeApply,
    environment: &Environment,
    deployment: Deployment<'_>,
    surroundings: &upgrade::Surroundings<'_>,
    (render, snapshots): (Option<Render<'_>>, snapshot::Surroundings<'_>),
) -> anyhow::Result<Report> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let last = last_record(deployment.host, deployment.settings, "upgrade");
    let last = last.as_ref().and_then(|record| record.get("at")?.as_str());
    let last = last.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let options = upgrade::Options {
        dry_run: chosen.dry_run,
        to: chosen.to.as_deref().map(wanted),
        lookup: &lookup,
        render,
        snapshots,
        last: last.map(OffsetDateTime::unix_timestamp),
    };
    upgrade::apply(deployment, surroundings, &options)
}

//! `boot`: what comes before there are settings, and the commands that it runs.
//!
//! Always true: the lock is held from before the configuration is written; each command leaves its own record.
//!
//! Does not: know the steps.

use std::path::{Path, PathBuf};

use agnes_config::{Loaded, load_as_if};
use anyhow::Result;

use super::commands::{Commands, Mode};
use super::doctor::surroundings;
use super::{Environment, google, lock, own_variables, render_compose, server_program, snapshot};
use crate::boot::{self, Given, Seeded};
use crate::cli;
use crate::config;
use crate::deployment::Deployment;
use crate::fetch;
use crate::host::{Host, Lock};
use crate::outcome::{Exit, Refusal, Report};
use crate::units::Root;
use crate::{tls, upgrade};

/// What was done before there were settings.
#[derive(Default)]
pub(super) struct Prepared {
    /// What became of the configuration that came with the machine.
    pub(super) seeded: Option<Seeded>,
    /// What there is to work with; `None`: what is on the disk.
    pub(super) loaded: Option<Loaded>,
}

/// The directory, the lock, and the configuration that came with the machine: judged first, with all that is there, and written when it is right.
///
/// # Errors
/// What the command ends with.
pub(super) fn prepare(
    args: &cli::Boot,
    environment: &Environment,
    host: &Host,
    dir: &Path,
    patience: std::time::Duration,
    held: &mut Option<Lock>,
) -> Result<Prepared, Box<Report>> {
    let given = match &args.config {
        None => None,
        Some(path) => Some(Given::read(host, path).map_err(|why| wrong(&why))?),
    };
    if !args.dry_run {
        host.make_dir(dir).map_err(|error| {
            let why = anyhow::Error::from(error);
            let message = format!("configuration: {why:#}; nothing was touched");
            Report::refused(Exit::Failed, Refusal::new("host-error", message))
        })?;
        *held = Some(lock(host, dir, "boot", patience)?);
    }
    let Some(given) = given else {
        return Ok(Prepared::default());
    };
    let plan = boot::plan_seed(host, dir, &given).map_err(|why| wrong(&why))?;
    let loaded = load_as_if(dir, own_variables(environment), plan.texts());
    let seeded = match (args.dry_run, loaded.settings.is_some()) {
        (_, false) => return Err(Box::new(config::refusal(&loaded))),
        (true, true) => plan.seeded(),
        (false, true) => plan.apply(host, dir).map_err(|why| {
            let message = format!(
                "configuration: {why:#}; what was written by then stays, and the next boot goes on"
            );
            Report::refused(Exit::Failed, Refusal::new("host-error", message))
        })?,
    };
    Ok(Prepared {
        seeded: Some(seeded),
        loaded: Some(loaded),
    })
}

fn wrong(why: &anyhow::Error) -> Report {
    let message = format!("configuration: {why:#}; nothing was touched");
    Report::refused(Exit::Config, Refusal::new("config-invalid", message))
}

/// Below `--root`, everything is below it.
pub(super) fn rebase(loaded: &mut Loaded, root: Option<&Path>) {
    let (Some(root), Some(settings)) = (root, &mut loaded.settings) else {
        return;
    };
    for path in [&mut settings.data_dir, &mut settings.state_dir] {
        if !path.starts_with(root) {
            *path = below(root, path);
        }
    }
}

/// `path` as it is called below `root`.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

pub(super) fn run(
    args: &cli::Boot,
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
    prepared: &Prepared,
) -> Result<Report> {
    let commands = Commands {
        environment,
        deployment,
        mode: Mode::of(args.dry_run),
        root: args.root.as_deref(),
    };
    let units = || commands.recorded("units install", commands.install_units());
    let secrets = || commands.recorded("secrets ensure", commands.ensure_secrets());
    let certificates = |proof| {
        let rotated = commands.rotate_certificate(tls::RotateOptions {
            ensure: tls::is_wanted(deployment.settings),
            proof,
            ..tls::RotateOptions::default()
        });
        commands.recorded("tls rotate", rotated)
    };
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let surroundings = surroundings(environment);
    let program = server_program(environment);
    let render = || {
        let report = render_compose(environment, deployment, loaded, false);
        commands.recorded("render compose", Ok(report))
    };
    let restore = || snapshot::finish_restore(environment, deployment, false);
    let options = boot::Options {
        dry_run: args.dry_run,
        root: Root::new(args.root.as_deref()),
        seeded: prepared.seeded.as_ref(),
        units: &units,
        secrets: &secrets,
        certificates: &certificates,
        surroundings: &surroundings,
        upgrade: upgrade::Options {
            dry_run: args.dry_run,
            to: None,
            with_data: false,
            lookup: &lookup,
            render: Some(&render),
            restore: &restore,
            snapshots: crate::snapshot::Surroundings {
                program: &program,
                docker_host: surroundings.docker_host,
            },
            last: None,
        },
    };
    Ok(boot::boot(deployment, &options))
}

/// How a boot ended, for whoever looks from outside the machine, where it has such a place; also one that had no settings. Never a reason to fail.
pub(super) fn publish(environment: &Environment, report: &mut Report) {
    let value = match &report.refusal {
        None => "ok".to_owned(),
        Some(refusal) if report.exit == Exit::Deferred => format!("deferred: {}", refusal.message),
        Some(refusal) => format!("failed: {}", refusal.message),
    };
    let published = match fetch::guest_attribute(&google(environment), "agnes/boot", &value) {
        Ok(true) => "guest-attributes".to_owned(),
        Ok(false) => "nowhere: this is no Google machine".to_owned(),
        Err(failure) => {
            tracing::warn!("the outcome is not published: {failure}");
            format!("nowhere: {}", failure.message)
        }
    };
    report.details.insert("published".into(), published.into());
}

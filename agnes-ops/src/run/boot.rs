//! `boot`: what comes before there are settings, and the commands that it runs.
//!
//! Always true: the lock is held from before the configuration is written; each command leaves its own record.
//!
//! Does not: know the steps.

use std::path::{Path, PathBuf};

use agnes_config::{Loaded, Settings, TlsMode};
use anyhow::Result;

use super::record::record;
use super::{Environment, last_record, lock, render_compose, server_program, snapshot};
use crate::boot::{self, Given, SeedRun, Seeded};
use crate::cli;
use crate::deployment::Deployment;
use crate::host::{Host, Lock};
use crate::outcome::{Exit, Refusal, Report};
use crate::units::Root;
use crate::{secrets, tls, units, upgrade};

/// What was done before there were settings.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// What became of the configuration that came with the machine.
    pub(super) seeded: Option<Seeded>,
}

/// The directory, the lock, and the configuration that came with the machine.
///
/// # Errors
/// What the command ends with.
pub(super) fn prepare(
    args: &cli::Boot,
    host: &Host,
    dir: &Path,
    patience: std::time::Duration,
    held: &mut Option<Lock>,
) -> Result<Prepared, Box<Report>> {
    let refused = |exit, reason: &str, why: String| {
        let message = format!("configuration: {why}; nothing was touched");
        Err(Box::new(Report::refused(
            exit,
            Refusal::new(reason, message),
        )))
    };
    if !args.dry_run {
        if let Err(error) = host.make_dir(dir) {
            return refused(Exit::Failed, "host-error", error.to_string());
        }
        *held = Some(lock(host, dir, "boot", patience)?);
    }
    let Some(config) = &args.config else {
        return Ok(Prepared::default());
    };
    let run = match args.dry_run {
        true => SeedRun::Dry,
        false => SeedRun::Real,
    };
    let seeded = Given::read(host, config).and_then(|given| boot::seed(host, dir, &given, run));
    match seeded {
        Ok(seeded) => Ok(Prepared {
            seeded: Some(seeded),
        }),
        Err(why) => refused(Exit::Config, "config-invalid", format!("{why:#}")),
    }
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
    let Deployment { host, settings, .. } = deployment;
    let recorded = |name: &str, report: Result<Report>| {
        let report = report?;
        if !args.dry_run {
            record(host, settings, name, &report, 0)?;
        }
        Ok(report)
    };
    let memory = |slug: &str| last_record(host, settings, slug)?.get("memory").cloned();
    let root = Root::new(args.root.as_deref());
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let units = || {
        let memory = memory("units-install");
        let options = units::Options {
            dry_run: args.dry_run,
            root,
            program: environment.program.as_deref(),
            memory: memory.as_ref(),
        };
        recorded("units install", units::install(host, settings, &options))
    };
    let secrets = || {
        let memory = memory("secrets-ensure");
        let options = secrets::EnsureOptions {
            dry_run: args.dry_run,
            lookup: &lookup,
            memory: memory.as_ref(),
        };
        recorded("secrets ensure", secrets::ensure(deployment, &options))
    };
    let certificates = |proof| {
        let options = tls::RotateOptions {
            dry_run: args.dry_run,
            ensure: needs_a_pair(settings),
            proof,
            ..tls::RotateOptions::default()
        };
        let rotated = tls::rotate(deployment, options, memory("tls-rotate").as_ref());
        recorded("tls rotate", rotated)
    };
    let surroundings = upgrade::Surroundings {
        docker_host: environment.get("DOCKER_HOST"),
        docker_home: upgrade::Home::of(environment.get("DOCKER_CONFIG"), environment.get("HOME")),
    };
    let program = server_program(environment);
    let render = || {
        recorded(
            "render compose",
            Ok(render_compose(environment, deployment, loaded, false)),
        )
    };
    let restore = || snapshot::finish_restore(environment, deployment, false);
    let options = boot::Options {
        dry_run: args.dry_run,
        root,
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

/// Whether something is to be served from files of ours, also before a CA has answered.
fn needs_a_pair(settings: &Settings) -> bool {
    match settings.runtime {
        agnes_config::Runtime::Compose => settings.stack.tls_mode == TlsMode::Files,
        agnes_config::Runtime::Process => settings.server.tls_listen.is_some(),
    }
}

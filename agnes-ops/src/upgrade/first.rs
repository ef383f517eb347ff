//! The first start: a host that runs nothing yet gets the version that is wanted, by digest, with its files, and through the same gate.
//!
//! Always true: a stack that runs is left to the ticks; a container that a person stopped stays stopped; what is started is kept from prunes and
//! pinned before it starts.
//!
//! Does not: touch data: the server makes its own.

use anyhow::Result;

use super::apply::{Options, release};
use super::containers::Docker;
use super::gate::Gate;
use super::plan::{App, Seen};
use super::preflight;
use super::transaction::Release;
use super::{SERVICE, Surroundings, applied, host_files, observe, pin};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::outcome::Outcome;
use crate::served::ControlSocket;

/// What a host runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// The service's container.
    Something,
    /// One that was stopped, in this state.
    Stopped(String),
    /// None, or one that was never started.
    Nothing,
}

/// Why a first start did not get there.
#[derive(Debug)]
pub struct Failed {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub why: String,
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error: anyhow::Error = error.into();
        Self {
            reason: "host-error",
            why: format!("{error:#}"),
        }
    }
}

/// What runs.
///
/// # Errors
/// When the engine does not answer.
pub fn runs(deployment: Deployment<'_>, surroundings: &Surroundings<'_>) -> Result<Runs> {
    let engine = Engine::of(surroundings.docker_host)?;
    let containers = engine.containers(&deployment.settings.dir)?;
    let app = containers.iter().find(|one| one.service == SERVICE);
    Ok(match app {
        Some(app) if app.is_kept_up() => Runs::Something,
        // what a start that was cut off leaves
        Some(app) if app.state == "created" => Runs::Nothing,
        Some(app) => Runs::Stopped(app.state.clone()),
        None => Runs::Nothing,
    })
}

/// A version that is on this host, and not started.
#[derive(Debug, Clone)]
pub struct Brought {
    release: Release,
    /// Its generation of host files; `None`: it brings none.
    generation: Option<String>,
}

impl Brought {
    /// The digest, for people.
    pub fn short(&self) -> &str {
        self.release.short()
    }
}

/// Brings the image that is wanted, by digest, and keeps it.
///
/// # Errors
/// [`Failed`].
pub fn bring(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<Brought, Failed> {
    let Deployment { host, settings, .. } = deployment;
    let engine = Engine::of(surroundings.docker_host)?;
    let docker = Docker::new(host, &settings.dir);
    preflight::tools(&engine, &docker).map_err(|missing| Failed {
        reason: missing.reason,
        why: missing.message,
    })?;
    let seen: Seen = observe::look(deployment, surroundings, None)?;
    debug_assert!(seen.app != App::Runs, "asked before");
    let digest = seen.wanted.as_ref().map_err(|failure| Failed {
        reason: failure.reason.as_str(),
        why: format!("{}: {}", seen.reference, failure.message),
    })?;
    let mut release = release(&seen, digest);
    if engine.image_id(&release.image).is_err() {
        docker.pull(&release.image).map_err(|why| Failed {
            reason: "pull-failed",
            why,
        })?;
    }
    release.image_id = engine.image_id(&release.image)?;
    docker
        .keep(&engine, &release.image_id)
        .map_err(|why| Failed {
            reason: "keep-failed",
            why,
        })?;
    Ok(Brought {
        release,
        generation: None,
    })
}

/// The host files of that version: staged, made the current ones, and rendered by its own program; what was done.
///
/// # Errors
/// [`Failed`].
pub fn host_files(
    deployment: Deployment<'_>,
    brought: &mut Brought,
    options: &Options<'_>,
) -> Result<Vec<String>, Failed> {
    let Deployment { host, settings, .. } = deployment;
    let refused = |why: String| Failed {
        reason: "host-files-refused",
        why,
    };
    let docker = Docker::new(host, &settings.dir);
    let staged = host_files::stage(deployment, &docker, &brought.release).map_err(refused)?;
    let mut did = Vec::new();
    match &staged {
        Some(files) => {
            if files.from.as_ref() != Some(&files.to) {
                host_files::flip(host, &settings.dir, Some(&files.to))?;
                did.push(format!("host files {}", files.to));
            }
            if host_files::render(host, &settings.dir, &files.to).map_err(refused)? {
                did.push("render the stack's files".to_owned());
            }
        }
        None => {
            if let Some(render) = options.render {
                let report = render()?;
                if let Some(refusal) = report.refusal {
                    return Err(refused(refusal.message));
                }
                if report.outcome == Outcome::Changed {
                    did.push("render the stack's files".to_owned());
                }
            }
        }
    }
    brought.generation = staged.map(|files| files.to);
    pin::write(deployment, options.lookup, &brought.release)?;
    docker.accepts().map_err(refused)?;
    if let Some(generation) = &brought.generation {
        match host_files::units(host, &settings.dir, generation) {
            Ok(true) => did.push("units of that version".to_owned()),
            Ok(false) => {}
            Err(why) => tracing::warn!("the units are still those of before: {why}"),
        }
    }
    Ok(did)
}

/// Starts every service, and waits for the gate.
///
/// # Errors
/// [`Failed`]; what was started stays as it is, for a person to look at.
pub fn start(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    brought: &Brought,
    options: &Options<'_>,
) -> Result<(), Failed> {
    let Deployment { host, settings, .. } = deployment;
    let engine = Engine::of(surroundings.docker_host)?;
    Docker::new(host, &settings.dir)
        .up()
        .map_err(|why| Failed {
            reason: "start-failed",
            why,
        })?;
    let socket = ControlSocket::of(settings);
    let gate = Gate {
        deployment,
        engine: &engine,
        socket: &socket,
        release: &brought.release,
        not: None,
        before: None,
    };
    let gated = gate.first().and_then(|first| gate.stays(&first));
    gated.map_err(|why| Failed {
        reason: "gate-failed",
        why,
    })?;
    applied::all(deployment, &engine, options.lookup)?;
    Ok(())
}

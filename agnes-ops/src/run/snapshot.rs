//! The verbs of `snapshot`, with what each takes from the environment.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use std::path::Path;
use std::time::Duration;

use agnes_config::{Remote, Runtime};

use super::asked::asked;
use super::{Environment, server_program};
use crate::deployment::Deployment;
use crate::outcome::{Exit, Refusal, Report};
use crate::snapshot::{self, Composed, Hands, RestoreOptions, Service, Surroundings, Which};
use crate::{cli, secrets, signal, systemd, up};

/// The unit of a host without Docker.
const UNIT: &str = "agnesd.service";
/// How long systemd may take.
const UNIT_CHANGE: Duration = Duration::from_secs(90);

/// Runs one of them.
///
/// # Errors
/// The verb's.
pub(super) fn run(
    verb: &cli::Snapshot,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let program = server_program(environment);
    let surroundings = Surroundings {
        program: &program,
        docker_host: environment.get("DOCKER_HOST"),
    };
    // what was cut off comes first, whichever of us is next
    let changes = !matches!(
        verb,
        cli::Snapshot::List | cli::Snapshot::Verify { .. } | cli::Snapshot::Restore { .. }
    );
    let finished = match changes && !verb.is_dry_run() {
        true => finish_restore(environment, deployment, false)?,
        false => None,
    };
    let Some(finished) = finished else {
        return perform(verb, environment, deployment, surroundings);
    };
    if finished.exit != Exit::Ok {
        return Ok(finished);
    }
    // it has got there; what was asked for is still to be done
    let mut report = perform(verb, environment, deployment, surroundings)?;
    report.text = format!("{}\n{}", finished.text, report.text);
    report.steps = [finished.steps, report.steps].concat();
    Ok(report)
}

fn perform(
    verb: &cli::Snapshot,
    environment: &Environment,
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
) -> anyhow::Result<Report> {
    match verb {
        cli::Snapshot::Create { reason, dry_run } => {
            snapshot::create(deployment, surroundings, reason, *dry_run)
        }
        cli::Snapshot::List => snapshot::list(deployment),
        cli::Snapshot::Verify { id, all } => {
            let which = match (id, all) {
                (Some(id), _) => Which::One(id.clone()),
                (None, true) => Which::All,
                (None, false) => Which::Newest,
            };
            snapshot::verify(deployment, surroundings, &which)
        }
        cli::Snapshot::Drill => snapshot::drill(deployment, surroundings),
        cli::Snapshot::Restore {
            id,
            with_config,
            with_secrets: _,
            identity,
            yes,
            dry_run,
        } => {
            // where nobody can be asked, whoever named the snapshot had the last word
            let consent = |told: &str| *yes || asked(told, "restore it?").unwrap_or(true);
            with_hands(environment, deployment, surroundings, |hands| {
                let options = RestoreOptions {
                    id,
                    dry_run: *dry_run,
                    with_config: *with_config,
                    identity: identity.as_deref(),
                    consent: &consent,
                    hands,
                };
                snapshot::restore(deployment, surroundings, &options)
            })
        }
        cli::Snapshot::Push { url, id } => match place(deployment, url.as_deref(), id.as_deref()) {
            Ok((remote, id)) => snapshot::push(deployment, &remote, id.as_deref()),
            Err(refusal) => Ok(Report::refused(Exit::Config, refusal)),
        },
        cli::Snapshot::Pull { url, id } => match place(deployment, url.as_deref(), id.as_deref()) {
            Ok((remote, id)) => snapshot::pull(deployment, surroundings, &remote, id.as_deref()),
            Err(refusal) => Ok(Report::refused(Exit::Config, refusal)),
        },
        cli::Snapshot::Prune { dry_run } => snapshot::prune(deployment, *dry_run),
    }
}

/// What a restore that was cut off has left; `None`: nothing is left of it.
///
/// # Errors
/// When its journal cannot be read.
pub(super) fn finish_restore(
    environment: &Environment,
    deployment: Deployment<'_>,
    dry_run: bool,
) -> anyhow::Result<Option<Report>> {
    let program = server_program(environment);
    let surroundings = Surroundings {
        program: &program,
        docker_host: environment.get("DOCKER_HOST"),
    };
    with_hands(environment, deployment, surroundings, |hands| {
        snapshot::finish_open(deployment, surroundings, hands, dry_run)
    })
}

fn with_hands<T>(
    environment: &Environment,
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    work: impl FnOnce(Hands<'_>) -> T,
) -> T {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let settle = || {
        let options = secrets::EnsureOptions {
            dry_run: false,
            lookup: &lookup,
            memory: None,
        };
        let report = secrets::ensure(deployment, &options)?;
        match report.refusal {
            None => Ok(()),
            Some(refusal) => anyhow::bail!("secrets ensure: {}", refusal.message),
        }
    };
    let composed = Composed {
        deployment,
        surroundings,
    };
    let process = Process {
        deployment,
        program: surroundings.program,
    };
    let service: &dyn Service = match deployment.settings.runtime {
        Runtime::Compose => &composed,
        Runtime::Process => &process,
    };
    work(Hands {
        service,
        settle: &settle,
        lookup: &lookup,
    })
}

/// The place and the snapshot that are meant; a snapshot's name may stand at the end of the URL.
fn place(
    deployment: Deployment<'_>,
    url: Option<&str>,
    id: Option<&str>,
) -> Result<(Remote, Option<String>), Refusal> {
    let wrong = |why: String| Refusal::new("malformed", format!("{why}; nothing was touched"));
    let Some(url) = url else {
        let configured = deployment.settings.snapshot.push_to.clone();
        let what = "no URL was given, and snapshot.push_to is not set".to_owned();
        return Ok((configured.ok_or_else(|| wrong(what))?, None));
    };
    let id = id.map(str::to_owned);
    if !url.contains("://") && id.is_none() {
        // the id alone
        let (remote, _) = place(deployment, None, None)?;
        return Ok((remote, Some(url.to_owned())));
    }
    let (place, named) = match url.trim_end_matches('/').rsplit_once('/') {
        Some((place, last)) if id.is_none() && snapshot::is_id(last) => {
            (place, Some(last.to_owned()))
        }
        _ => (url, id),
    };
    Ok((place.parse::<Remote>().map_err(wrong)?, named))
}

/// One `agnesd` of this host: of `agnes-ops up`, or of its unit.
struct Process<'a> {
    deployment: Deployment<'a>,
    program: &'a Path,
}

impl Process<'_> {
    fn systemctl(&self, verb: &str) -> anyhow::Result<()> {
        systemd::act(self.deployment.host, verb, &[UNIT], UNIT_CHANGE).map_err(anyhow::Error::msg)
    }

    fn has_unit(&self) -> bool {
        signal::main_process(self.deployment.host, UNIT).is_ok()
    }
}

impl Service for Process<'_> {
    fn runs(&self) -> anyhow::Result<bool> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(server) = up::server(host, settings)? else {
            return Ok(false);
        };
        if up::is_ours(host, settings) || self.has_unit() {
            return Ok(true);
        }
        anyhow::bail!(
            "agnesd (pid {}) runs, and was not started by agnes-ops up or {UNIT}: stop it first; nothing was touched",
            server.pid()
        )
    }

    fn stop(&self) -> anyhow::Result<()> {
        if self.has_unit() {
            return self.systemctl("stop");
        }
        let Deployment { host, settings, .. } = self.deployment;
        let report = up::down(host, settings, false)?;
        match report.refusal {
            None => Ok(()),
            Some(refusal) => anyhow::bail!("{}", refusal.message),
        }
    }

    fn start(&self) -> anyhow::Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        // a unit that was stopped has no process to be known by
        match up::was_ours(host, settings) {
            true => up::restart(host, settings, self.program),
            false => self.systemctl("start"),
        }
    }
}

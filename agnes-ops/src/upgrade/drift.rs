//! Files that were changed and services that are missing: validated, applied, proven.
//!
//! Always true: nothing is applied that Compose or the proxy refuses; jobs that run are waited for; what was applied is remembered
//! only when the stack has passed the gate on it, so that the next tick tries again.
//!
//! Does not: write a person's files; what they had before is theirs to put back.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::SERVICE;
use super::applied::{Applied, Drift};
use super::apply::Options;
use super::containers::Docker;
use super::gate::{Before, Gate};
use super::observe;
use super::replicas;
use super::transaction::Release;
use super::waiting;
use crate::deployment::Deployment;
use crate::engine::{Container, Engine};
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::served::ControlSocket;

/// The proxy's service, and where its configuration is in it.
const PROXY: &str = "caddy";
const CADDYFILE: [&str; 4] = ["--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"];

/// How long a server that was just started is waited for before the proxy is touched; one that never answers is the gate's affair.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// What is not as it was applied; `None`: nothing was applied by us yet.
///
/// # Errors
/// When something cannot be looked at.
pub fn found(
    deployment: Deployment<'_>,
    containers: &[Container],
    options: &Options<'_>,
) -> Result<Option<Vec<Drift>>> {
    let Deployment { host, settings, .. } = deployment;
    let Some(applied) = Applied::read(host, settings)? else {
        return Ok(None);
    };
    let now = Applied::look(deployment, containers, options.lookup)?;
    Ok(Some(applied.drift(&now)))
}

/// A tick that finds the wanted version: is everything else as it was applied? `report` is what the tick has to say so far.
///
/// # Errors
/// When something cannot be looked at.
pub fn converge(
    deployment: Deployment<'_>,
    engine: &Engine,
    options: &Options<'_>,
    report: Report,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let containers = engine.containers(&settings.dir)?;
    let Some(drift) = found(deployment, &containers, options)? else {
        if !options.dry_run {
            Applied::look(deployment, &containers, options.lookup)?.write(host, settings)?;
        }
        return Ok(report.detail("adopted", true));
    };
    if drift.is_empty() {
        if !options.dry_run {
            waiting::forget(host, settings);
        }
        return Ok(report);
    }
    let names: Vec<String> = drift
        .iter()
        .map(|one| format!("{} ({})", one.what, one.kind))
        .collect();
    let text = format!("{}; drift: {}", report.text, names.join(", "));
    let report = report.detail("drift", json!(drift));
    if options.dry_run {
        let mut report = Report { text, ..report };
        report.steps = vec![Step::planned("validate"), Step::planned("apply the files")];
        return Ok(report);
    }
    let mut work = Work {
        deployment,
        engine,
        options,
        docker: Docker::new(host, &settings.dir),
        socket: ControlSocket::of(settings),
        steps: Steps::begin(host.instant()),
    };
    let applied = work.apply(&containers, &drift);
    let steps = work.steps.into_vec();
    let mut report = match applied {
        Ok(()) => Report {
            outcome: Outcome::Changed,
            text: format!("{text}; applied and proven"),
            ..report
        },
        Err(Stopped { exit, reason, why }) => {
            let refused = Report::refused(exit, Refusal::new(reason, format!("{text}; {why}")));
            Report {
                details: report.details,
                ..refused
            }
        }
    };
    report.steps = steps;
    Ok(report)
}

/// Every service as the files say, and the proxy with the files that it has mounted.
///
/// # Errors
/// One clause.
pub fn bring_up(
    deployment: Deployment<'_>,
    engine: &Engine,
    docker: &Docker<'_>,
    socket: &ControlSocket,
) -> Result<(), String> {
    bring_containers_up(deployment, engine, docker)?;
    // a stack may have another proxy, or none: the gate looks at what is served
    if let Err(why) = reload_proxy(deployment.host, docker, socket, Reload::WhatChanged) {
        tracing::warn!("reload the proxy: {why}");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Reload {
    /// The proxy goes on undisturbed when its configuration is the one that it has.
    WhatChanged,
    /// Also the files that it names: pairs, pages.
    Everything,
}

/// Makes the proxy read its configuration again. That answers every call which it holds for a server that is away with 503, so a
/// server that is starting is waited for.
fn reload_proxy(
    host: &Host,
    docker: &Docker<'_>,
    socket: &ControlSocket,
    reload: Reload,
) -> Result<(), String> {
    let begun = host.instant();
    while socket.get("/v1/state").is_err() && begun.elapsed() < STARTS_WITHIN {
        host.sleep(LOOKS_EVERY);
    }
    let force: &[&str] = match reload {
        Reload::WhatChanged => &[],
        Reload::Everything => &["--force"],
    };
    docker.exec(
        PROXY,
        &[&["caddy", "reload"], force, &CADDYFILE[..]].concat(),
    )
}

fn bring_containers_up(
    deployment: Deployment<'_>,
    engine: &Engine,
    docker: &Docker<'_>,
) -> Result<(), String> {
    replicas::one_by_one(deployment, engine, docker).map_err(|why| format!("{why:#}"))?;
    docker.up()
}

struct Stopped {
    exit: Exit,
    reason: &'static str,
    why: String,
}

impl Stopped {
    fn failed(reason: &'static str, why: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            reason,
            why: why.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        let error: anyhow::Error = error.into();
        Self::failed("host-error", format!("{error:#}"))
    }
}

struct Work<'a> {
    deployment: Deployment<'a>,
    engine: &'a Engine,
    options: &'a Options<'a>,
    docker: Docker<'a>,
    socket: ControlSocket,
    steps: Steps,
}

impl Work<'_> {
    fn done(&mut self, step: impl Into<String>) {
        self.steps.done(step, self.deployment.host.instant());
    }

    fn apply(&mut self, containers: &[Container], drift: &[Drift]) -> Result<(), Stopped> {
        let Deployment { host, settings, .. } = self.deployment;
        let mut drift = drift.to_vec();
        if drift.iter().any(Drift::is_rendered)
            && let Some(render) = self.options.render
        {
            let rendered = render()?;
            if let Some(refusal) = rendered.refusal {
                return Err(Stopped::failed("compose-refuses", refusal.message));
            }
            self.done("render compose");
            // what was rendered is mounted too
            drift = found(self.deployment, containers, self.options)?.unwrap_or_default();
        }
        self.validate(containers, &drift)?;
        let only_the_proxy = drift.iter().all(Drift::is_of_the_proxy);
        if !only_the_proxy {
            self.drain(containers)?;
        }
        let done = self.bring_about(containers, &drift);
        // also when it failed: jobs must not stand still for a typo
        let _ = self.socket.post("/v1/resume", &json!({}));
        done?;
        let containers = self.engine.containers(&settings.dir)?;
        Applied::look(self.deployment, &containers, self.options.lookup)?.write(host, settings)?;
        Ok(())
    }

    fn validate(&mut self, containers: &[Container], drift: &[Drift]) -> Result<(), Stopped> {
        let untouched = |why: String| format!("{why}; what runs was not touched");
        self.docker
            .accepts()
            .map_err(|why| Stopped::failed("compose-refuses", untouched(why)))?;
        let proxy = containers
            .iter()
            .any(|one| one.service == PROXY && one.runs());
        if proxy && drift.iter().any(Drift::is_of_the_proxy) {
            let argv = [&["caddy", "validate"], &CADDYFILE[..]].concat();
            self.docker
                .exec(PROXY, &argv)
                .map_err(|why| Stopped::failed("proxy-refuses", untouched(why)))?;
        }
        self.done("validate");
        Ok(())
    }

    /// Jobs end first. A server that does not answer is waited for as before an upgrade: what was changed may be its cure.
    fn drain(&mut self, containers: &[Container]) -> Result<(), Stopped> {
        let Deployment { host, settings, .. } = self.deployment;
        let deferred = |reason, why: String| Stopped {
            exit: Exit::Deferred,
            reason,
            why,
        };
        let drained = self.socket.post("/v1/drain", &json!({}));
        let drained = match drained {
            Ok(drained) => drained,
            Err(why) => {
                let app = containers.iter().find(|one| one.service == SERVICE);
                if let Some(app) = app
                    && waiting::for_silent(self.deployment, self.engine, &app.id, None)?
                {
                    return Err(deferred("server-unreachable", why.to_string()));
                }
                tracing::warn!(
                    "{}: {why}: what was changed is applied without asking",
                    self.socket.path().display()
                );
                self.done("give up on the server");
                return Ok(());
            }
        };
        let running = drained.get("jobs_running").and_then(Value::as_array);
        if running.is_none_or(Vec::is_empty) {
            waiting::forget(host, settings);
            return Ok(());
        }
        let _ = self.socket.post("/v1/resume", &json!({}));
        let why = "jobs run";
        Err(match waiting::overdue(host, settings, None)? {
            None => deferred("jobs-running", why.to_owned()),
            Some(secs) => {
                let why = format!("{why}; {}", waiting::too_long(secs));
                Stopped::failed("jobs-running", why)
            }
        })
    }

    /// Compose makes anew what its files say differently; what is only mounted, its reader is made to read.
    fn bring_about(&mut self, before: &[Container], drift: &[Drift]) -> Result<(), Stopped> {
        let settings = self.deployment.settings;
        let app = before.iter().find(|one| one.service == SERVICE);
        let seen = match app {
            Some(app) => {
                let running = self.engine.inspect(&app.id)?;
                Some(Before::look(
                    self.deployment,
                    self.engine,
                    before,
                    &running,
                )?)
            }
            None => None,
        };
        let not_proven = |why: String| Stopped::failed("drift-not-proven", why);
        bring_containers_up(self.deployment, self.engine, &self.docker).map_err(not_proven)?;
        self.done("docker compose up");
        let after = self.engine.containers(&settings.dir)?;
        let same = |service: &str| {
            let id = |all: &[Container]| {
                let found = all.iter().find(|one| one.service == service);
                found.map(|one| one.id.clone())
            };
            id(before) == id(&after)
        };
        if drift.iter().any(Drift::is_of_the_proxy) && same(PROXY) {
            let host = self.deployment.host;
            reload_proxy(host, &self.docker, &self.socket, Reload::Everything)
                .map_err(not_proven)?;
            self.done("reload the proxy");
        }
        if drift.iter().any(Drift::is_of_the_server) && same(SERVICE) {
            self.docker.recreate(SERVICE).map_err(not_proven)?;
            self.done(format!("re-create {SERVICE}"));
        }
        self.prove(seen.as_ref())
    }

    fn prove(&mut self, before: Option<&Before>) -> Result<(), Stopped> {
        let settings = self.deployment.settings;
        let containers = self.engine.containers(&settings.dir)?;
        let Some(app) = containers.iter().find(|one| one.service == SERVICE) else {
            let why = format!("no container of {SERVICE} is there");
            return Err(Stopped::failed("drift-not-proven", why));
        };
        let running = self.engine.inspect(&app.id)?;
        let release = Release {
            digest: observe::running(self.engine, &running, None)?
                .into_iter()
                .next(),
            image: running.image.clone(),
            image_id: running.image_id.clone(),
        };
        // a variable or a mount that the new files leave out is meant
        let services = before.map(Before::services_alone);
        let gate = Gate {
            deployment: self.deployment,
            engine: self.engine,
            socket: &self.socket,
            release: &release,
            not: None,
            before: services.as_ref(),
        };
        let passed = gate.first().and_then(|first| gate.stays(&first));
        passed.map_err(|why| Stopped::failed("drift-not-proven", why))?;
        self.done("gate");
        Ok(())
    }
}

//! Docker, and the containers of the stack.
//!
//! Always true: asked over the engine's own API; a deployment without a stack of ours is told from one whose stack is down.
//!
//! Does not: start or stop anything.

use std::time::Duration;

use agnes_config::{Overlay, Runtime, Settings};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Found, Patient, Seen};
use crate::engine::{Container, Engine, Inspected};
use crate::host::RunError;
use crate::{disk, upgrade};

/// The server's service.
const SERVICE: &str = "app";
/// From how many restarts on somebody should look.
const MANY_RESTARTS: u64 = 3;
/// A start that is so young may be one of many.
const LATELY: time::Duration = time::Duration::hours(1);
/// What a process that was killed ends with.
const KILLED: i64 = 137;

pub(super) fn engine(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    if !patient.has_stack(settings) {
        return no_stack(settings);
    }
    let asked =
        Engine::of(patient.options.surroundings.docker_host).and_then(|engine| engine.version());
    match asked {
        Ok(_) => Seen::Passed,
        Err(why) => Seen::found(
            "docker.service",
            format!("{why:#}"),
            "systemctl status docker.service; journalctl -u docker.service",
        ),
    }
}

pub(super) fn compose(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        let argv = ["docker", "compose", "version", "--short"];
        let next = "install Docker Compose 2.24 or newer";
        match patient.host().run(&argv, None, Duration::from_secs(20)) {
            Ok(ran) if ran.code == 0 => Seen::Passed,
            Ok(ran) => Seen::found("docker compose", ran.last_line(), next),
            Err(RunError::NoProgram) => Seen::found("docker", "there is no such program", next),
            Err(error) => Seen::Unchecked(format!("{}: docker: {error}", settings.dir.display())),
        }
    })
}

pub(super) fn out_of_memory(patient: &Patient<'_>) -> Seen {
    each(patient, |one, inspected| {
        let killed = !inspected.runs && inspected.exit_code == KILLED;
        if !inspected.out_of_memory && !killed {
            return None;
        }
        let why = match inspected.out_of_memory {
            true => "was killed for its memory (OOMKilled)",
            false => "was killed (exit 137): by the kernel for its memory, if by nobody else",
        };
        Some((
            why.to_owned(),
            format!(
                "journalctl -k | grep -i 'out of memory'; give {} more, or find what takes it",
                one.service
            ),
        ))
    })
}

pub(super) fn restarts(patient: &Patient<'_>) -> Seen {
    let now = patient.host().now();
    each(patient, |one, inspected| {
        // the engine counts over a container's whole life: long ago is long ago
        let started = OffsetDateTime::parse(&inspected.started_at, &Rfc3339).ok();
        let lately = started.is_some_and(|started| now - started < LATELY);
        let again_and_again = inspected.restarting || inspected.restarts >= MANY_RESTARTS && lately;
        if !again_and_again {
            return None;
        }
        let evidence = format!(
            "was restarted {} times, the last time just now",
            inspected.restarts
        );
        Some((evidence, format!("docker logs --tail 50 {}", short(one))))
    })
}

pub(super) fn down(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, all| {
        let up = format!(
            "docker compose --project-directory {} up --detach, unless somebody stopped it on purpose",
            settings.dir.display()
        );
        let mut apps = all
            .iter()
            .filter(|(one, _)| one.service == SERVICE)
            .peekable();
        if apps.peek().is_none() {
            return Seen::found(SERVICE, "there is no container", up);
        }
        let found = apps
            .filter(|(one, _)| !one.is_kept_up())
            .map(|(one, inspected)| Found {
                object: SERVICE.to_owned(),
                evidence: format!("is {}, exit {}", one.state, inspected.exit_code),
                next: up.clone(),
            });
        Seen::of(found.collect())
    })
}

pub(super) fn unhealthy(patient: &Patient<'_>) -> Seen {
    each(patient, |one, inspected| {
        let unhealthy = inspected.runs && inspected.health.as_deref() == Some("unhealthy");
        unhealthy.then(|| {
            let next = format!(
                "docker inspect --format '{{{{json .State.Health}}}}' {}",
                short(one)
            );
            ("its health check fails".to_owned(), next)
        })
    })
}

/// Services beside the server's.
pub(super) fn stopped(patient: &Patient<'_>) -> Seen {
    each(patient, |one, inspected| {
        let stopped = one.service != SERVICE && !one.is_kept_up();
        stopped.then(|| {
            let evidence = format!("is {}, exit {}", one.state, inspected.exit_code);
            (
                evidence,
                format!(
                    "docker logs --tail 50 {}; docker start {}",
                    short(one),
                    short(one)
                ),
            )
        })
    })
}

/// A container that was started before its disk has the boot disk's directory (B02).
pub(super) fn mounts(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        let mounted = settings.stack.overlays.contains(&Overlay::HostMount);
        if settings.machine.data_device.is_none() || !mounted {
            return Seen::Unchecked("no data disk of ours is mounted into a container".to_owned());
        }
        let mut found = Vec::new();
        let processes = match patient.processes(settings, SERVICE) {
            Ok(processes) => processes,
            Err(why) => return Seen::Unchecked(why),
        };
        for process in processes {
            match disk::is_seen_by(patient.host(), settings, process.pid) {
                Ok(true) => {}
                Ok(false) => found.push(Found {
                    object: SERVICE.to_owned(),
                    evidence: format!("does not see the disk at {}: it was started before it was mounted", settings.data_dir.display()),
                    next: "docker compose up --detach --force-recreate app, after a look at what it wrote elsewhere".to_owned(),
                }),
                Err(why) => return Seen::Unchecked(format!("{why:#}")),
            }
        }
        Seen::of(found)
    })
}

pub(super) fn drift(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        let deployment = patient.deployment();
        let options = &patient.options;
        let next = format!(
            "agnes-ops -C {} upgrade (the next tick does it too)",
            settings.dir.display()
        );
        match upgrade::drifted(deployment, options.surroundings, options.lookup) {
            Err(why) => Seen::Unchecked(format!("{why:#}")),
            Ok(all) => {
                let found = all.into_iter().map(|one| Found {
                    object: one.what,
                    evidence: one.kind.to_owned(),
                    next: next.clone(),
                });
                Seen::of(found.collect())
            }
        }
    })
}

/// Which version is wanted, asked as a tick would.
pub(super) fn registry(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        if settings.upgrade.mode == agnes_config::UpgradeMode::Off {
            return Seen::Unchecked("upgrade.mode is off".to_owned());
        }
        let deployment = patient.deployment();
        match upgrade::wanted(deployment, patient.options.surroundings) {
            Err(why) => Seen::Unchecked(format!("{why:#}")),
            Ok(None) => {
                Seen::Unchecked("what runs was built here, and is in no registry".to_owned())
            }
            Ok(Some(Ok(_))) => Seen::Passed,
            Ok(Some(Err(failure))) => {
                let next = failure.hint.clone().unwrap_or_else(|| {
                    format!("agnes-ops -C {} upgrade check", settings.dir.display())
                });
                let evidence = format!("{}: {}", failure.reason.as_str(), failure.message);
                Seen::found(failure.url.clone(), evidence, next)
            }
        }
    })
}

fn short(container: &Container) -> &str {
    container.id.get(..12).unwrap_or(&container.id)
}

fn each(
    patient: &Patient<'_>,
    judge: impl Fn(&Container, &Inspected) -> Option<(String, String)>,
) -> Seen {
    with(patient, |_, all| {
        let found = all.iter().filter_map(|(one, inspected)| {
            let (evidence, next) = judge(one, inspected)?;
            Some(Found {
                object: one.service.clone(),
                evidence,
                next,
            })
        });
        Seen::of(found.collect())
    })
}

fn with(
    patient: &Patient<'_>,
    judge: impl FnOnce(&Settings, &[(Container, Inspected)]) -> Seen,
) -> Seen {
    let settings = patient.settings();
    if !patient.has_stack(settings) {
        return no_stack(settings);
    }
    match patient.containers(settings) {
        Ok(all) => judge(settings, all),
        Err(why) => Seen::Unchecked(format!("the Docker engine: {why}")),
    }
}

fn no_stack(settings: &Settings) -> Seen {
    let why = match settings.runtime {
        Runtime::Process => "AGNES_RUNTIME is process",
        Runtime::Compose => "there is no docker-compose.yml",
    };
    Seen::Unchecked(why.to_owned())
}

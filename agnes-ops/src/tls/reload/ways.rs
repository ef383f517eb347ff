//! The ways to ask for a reload, and whom.
//!
//! Always true: a target that does not exist is told from one that cannot be reached; a process is looked at before it
//! is signalled.
//!
//! Does not: know whether asking did anything (that is the proof).

use std::time::Duration;

use agnes_config::{CaddyTarget, ProcessTarget, ReloadWay, RestartTarget, Settings};
use nix::sys::signal::Signal;

use super::admin;
use crate::compose::{self, Missing};
use crate::host::{Host, RunError};

/// How long asking may take, but for a restart.
const ASK: Duration = Duration::from_secs(5);
/// How long a restart may take.
const RESTART: Duration = Duration::from_secs(60);

/// A way's identity across runs.
pub fn name(way: &ReloadWay) -> String {
    let (kind, target) = describe(way);
    format!("{kind} {target}")
}

pub(super) fn describe(way: &ReloadWay) -> (&'static str, String) {
    match way {
        ReloadWay::Signal { target, signal } => {
            let target = match target {
                ProcessTarget::PidFile(path) => format!("pid_file {}", path.display()),
                ProcessTarget::Unit(unit) => format!("unit {unit}"),
                ProcessTarget::ComposeService(service) => format!("compose_service {service}"),
            };
            ("signal", format!("{} to {target}", signal_of(*signal)))
        }
        ReloadWay::CaddyAdmin {
            target: CaddyTarget::Url(url),
        } => (
            "caddy-admin",
            url.host_str().unwrap_or_default().to_owned() + &port(url),
        ),
        ReloadWay::CaddyAdmin {
            target: CaddyTarget::ComposeService { service, .. },
        } => ("caddy-admin", format!("compose_service {service}")),
        ReloadWay::Command { argv } => ("command", argv.first().cloned().unwrap_or_default()),
        ReloadWay::Restart {
            target: RestartTarget::Unit(unit),
        } => ("restart", format!("unit {unit}")),
        ReloadWay::Restart {
            target: RestartTarget::ComposeService(service),
        } => ("restart", format!("compose_service {service}")),
    }
}

fn port(url: &url::Url) -> String {
    url.port_or_known_default()
        .map(|port| format!(":{port}"))
        .unwrap_or_default()
}

fn signal_of(signal: agnes_config::Signal) -> Signal {
    match signal {
        agnes_config::Signal::Usr1 => Signal::SIGUSR1,
        agnes_config::Signal::Usr2 => Signal::SIGUSR2,
        agnes_config::Signal::Hup => Signal::SIGHUP,
    }
}

/// Asks once. `Ok` says that the request went out, not that it did anything.
pub(super) fn request(host: &Host, settings: &Settings, way: &ReloadWay) -> Result<(), Missing> {
    match way {
        ReloadWay::Signal { target, signal } => {
            let signal = signal_of(*signal);
            match target {
                ProcessTarget::PidFile(path) => {
                    signal_pid(host, process_of_pid_file(host, path)?, signal)
                }
                ProcessTarget::Unit(unit) => signal_pid(host, main_process(host, unit)?, signal),
                ProcessTarget::ComposeService(service) => {
                    for container in compose::containers(host, &settings.dir, service)? {
                        refuse_death(host, container.pid, signal)?;
                        compose::kill(host, &container, signal.as_str())
                            .map_err(Missing::Failed)?;
                    }
                    Ok(())
                }
            }
        }
        ReloadWay::CaddyAdmin {
            target: CaddyTarget::Url(url),
        } => admin::load_again(url, ASK),
        ReloadWay::CaddyAdmin {
            target: CaddyTarget::ComposeService { service, config },
        } => {
            for container in compose::containers(host, &settings.dir, service)? {
                let argv = ["caddy", "reload", "--force", "--config", config];
                compose::exec(host, &container, &argv).map_err(Missing::Failed)?;
            }
            Ok(())
        }
        ReloadWay::Command { argv } => {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            match host.run(&argv, Some(&settings.dir), ASK) {
                Ok(ran) if ran.code == 0 => Ok(()),
                Ok(ran) => Err(Missing::Failed(format!(
                    "exit {}: {}",
                    ran.code,
                    ran.last_line()
                ))),
                Err(error @ RunError::NoProgram) => Err(Missing::Absent(error.to_string())),
                Err(error) => Err(Missing::Failed(error.to_string())),
            }
        }
        ReloadWay::Restart {
            target: RestartTarget::Unit(unit),
        } => {
            main_process(host, unit)?;
            match host.run(&["systemctl", "restart", "--", unit], None, RESTART) {
                Ok(ran) if ran.code == 0 => Ok(()),
                Ok(ran) => Err(Missing::Failed(format!("systemctl: {}", ran.last_line()))),
                Err(error) => Err(Missing::Failed(format!("systemctl: {error}"))),
            }
        }
        ReloadWay::Restart {
            target: RestartTarget::ComposeService(service),
        } => {
            for container in compose::containers(host, &settings.dir, service)? {
                compose::restart(host, &container).map_err(Missing::Failed)?;
            }
            Ok(())
        }
    }
}

fn signal_pid(host: &Host, pid: i32, signal: Signal) -> Result<(), Missing> {
    let running = host
        .process(pid)
        .map_err(|error| Missing::Failed(format!("process {pid}: {error}")))?;
    let running = running.ok_or_else(|| Missing::Absent(format!("process {pid} has ended")))?;
    refuse_death(host, pid, signal)?;
    host.signal(&running, signal)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Missing::Absent(format!("process {pid} has ended")),
            _ => Missing::Failed(format!("process {pid}: {error}")),
        })
}

/// A process that neither handles nor ignores the signal would die of it.
fn refuse_death(host: &Host, pid: i32, signal: Signal) -> Result<(), Missing> {
    match host.process(pid) {
        Ok(Some(running)) if !running.survives(signal) => Err(Missing::Failed(format!(
            "process {pid} does not handle {signal} and would be ended by it; not sent"
        ))),
        // Not visible from here (an engine on another host): the engine delivers it, and the proof sees what came of it.
        _ => Ok(()),
    }
}

/// The process a pid file names, if the file is not older than the process.
fn process_of_pid_file(host: &Host, path: &std::path::Path) -> Result<i32, Missing> {
    let name = path.display();
    let failed = |error: std::io::Error| Missing::Failed(format!("{name}: {error}"));
    let bytes = host
        .read(path)
        .map_err(failed)?
        .ok_or_else(|| Missing::Absent(format!("no pid file {name}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let pid: i32 = text
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
        .ok_or_else(|| Missing::Failed(format!("{name}: not a process number")))?;
    let running = host.process(pid).map_err(failed)?;
    let running =
        running.ok_or_else(|| Missing::Absent(format!("{name}: process {pid} has ended")))?;
    let written = host.modified_secs(path).map_err(failed)?;
    let started = host.started_secs(&running).map_err(failed)?;
    // Both clocks are good to a second; a process that began later than its pid file got a used number.
    if started > written + 2 {
        return Err(Missing::Absent(format!(
            "{name} is older than process {pid}: another program has that number now"
        )));
    }
    Ok(pid)
}

/// The main process of an active unit.
fn main_process(host: &Host, unit: &str) -> Result<i32, Missing> {
    let argv = [
        "systemctl",
        "show",
        "--property=LoadState,ActiveState,MainPID",
        "--",
        unit,
    ];
    let ran = match host.run(&argv, None, ASK) {
        Ok(ran) if ran.code == 0 => ran,
        Ok(ran) => {
            return Err(Missing::Absent(format!(
                "no systemd answers: {}",
                ran.last_line()
            )));
        }
        Err(RunError::NoProgram) => {
            return Err(Missing::Absent("there is no systemctl program".into()));
        }
        Err(error) => return Err(Missing::Failed(format!("systemctl: {error}"))),
    };
    let value = |key: &str| {
        ran.stdout
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .to_owned()
    };
    match (
        value("LoadState").as_str(),
        value("ActiveState").as_str(),
        value("MainPID").parse::<i32>(),
    ) {
        ("loaded", "active" | "reloading", Ok(pid)) if pid > 1 => Ok(pid),
        ("loaded", state, _) => Err(Missing::Absent(format!("unit {unit} is {state}"))),
        (state, ..) => Err(Missing::Absent(format!("unit {unit} is {state}"))),
    }
}

//! The ways to ask for a reload, and whom.
//!
//! Always true: a target that does not exist is told from one that cannot be reached.
//!
//! Does not: know whether asking did anything (that is the proof).

use std::time::Duration;

use agnes_config::{CaddyTarget, ProcessTarget, ReloadWay, RestartTarget, Settings};
use nix::sys::signal::Signal;

use super::admin;
use crate::compose::{self, Missing};
use crate::host::{Host, RunError};
use crate::sha256::sha256;
use crate::signal;

/// How long asking may take, but for a restart.
const ASK: Duration = Duration::from_secs(5);
/// How long a restart may take.
const RESTART: Duration = Duration::from_secs(60);

/// A way's identity across runs.
pub fn name(way: &ReloadWay) -> String {
    let (kind, target) = describe(way);
    match way {
        // two shell commands begin alike; the arguments themselves may hold a secret
        ReloadWay::Command { argv } => {
            let digest = sha256(argv.join("\0").as_bytes());
            format!("{kind} {target} {}", digest.get(..12).unwrap_or_default())
        }
        _ => format!("{kind} {target}"),
    }
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
            signal::send(host, &settings.dir, target, signal_of(*signal))
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
            signal::main_process(host, unit)?;
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

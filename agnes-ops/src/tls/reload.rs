//! Reloading, and the proof of it: a way counts when the served leaf is the installed one.
//!
//! Always true: ways are tried in order, the one that last worked first; each has five seconds to prove itself; a
//! process is looked at before it is signalled, and never gets a signal that would end it.
//!
//! Does not: change anything under `certs/`.

use std::time::{Duration, Instant};

use agnes_config::{CaddyTarget, ProcessTarget, ReloadWay, RestartTarget, ServedAddress, Settings};
use nix::sys::signal::Signal;
use serde_json::json;

use super::admin;
use super::certificate::sha256_hex;
use crate::compose::{self, Missing};
use crate::host::{Host, RunError};
use crate::served::{Served, look};

/// What a way has to prove itself.
const PROOF: Duration = Duration::from_secs(5);
/// When a way that can be repeated is asked once more: a proxy that read one file before the flip and one after it
/// keeps its old pair and has forgotten the first request.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// One handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// What is known about what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The expected leaf.
    Served,
    /// `TLS_SERVED_ADDRESS=none`.
    Off,
    /// Nobody listens there.
    NothingListens,
    /// Another leaf, or no handshake.
    Failed,
}

impl Proof {
    /// The word in `details.proof`.
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Served => "served",
            Proof::Off => "off",
            Proof::NothingListens => "nothing-listens",
            Proof::Failed => "failed",
        }
    }
}

/// One way that was tried.
#[derive(Debug, Clone)]
pub struct Tried {
    /// `signal`, `caddy-admin`, `command` or `restart`.
    pub kind: &'static str,
    /// Its target, for people and for remembering.
    pub target: String,
    /// `proven`, `requested` (proof off), `unproven`, `failed` or `absent`.
    pub result: &'static str,
    /// Why not.
    pub why: Option<String>,
}

/// Where an attempt to make the served leaf the installed one ended.
#[derive(Debug, Clone)]
pub struct Convergence {
    /// What is known now.
    pub proof: Proof,
    /// Address and SHA-256 of the leaf that is served; `None`: none, or not looked at.
    pub served: Option<(String, String)>,
    /// Ways tried, in order.
    pub tried: Vec<Tried>,
    /// The way that proved itself.
    pub by: Option<Tried>,
    /// What the last look saw, when it was not a leaf.
    pub seen: String,
    /// Milliseconds until a way had proven itself, counted from before the first look, which follows the flip.
    pub took_ms: Option<u64>,
}

impl Convergence {
    /// Nothing contradicts the installed pair: it is served, or nobody could be asked and nobody listens.
    pub fn holds(&self) -> bool {
        let asked = self.tried.iter().any(|tried| tried.result != "absent");
        match self.proof {
            Proof::Served | Proof::Off => true,
            Proof::NothingListens => !asked,
            Proof::Failed => false,
        }
    }

    /// `details.reload`.
    pub fn reload_json(&self) -> serde_json::Value {
        let tried: Vec<_> = self
            .tried
            .iter()
            .map(|tried| json!({"kind": tried.kind, "target": tried.target, "result": tried.result, "why": tried.why}))
            .collect();
        json!({"tried": tried, "by": self.by.as_ref().map(|way| way.kind), "took_ms": self.took_ms})
    }

    fn since(mut self, started: Instant) -> Self {
        let took = u64::try_from(started.elapsed().as_millis()).ok();
        self.took_ms = took.filter(|_| self.by.is_some());
        self
    }

    /// `details.served`.
    pub fn served_json(&self) -> serde_json::Value {
        self.served.as_ref().map_or(
            serde_json::Value::Null,
            |(address, sha256)| json!({"address": address, "sha256": sha256}),
        )
    }

    /// The ways and what came of them, in one clause.
    pub fn clause(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|tried| match &tried.why {
                Some(why) => format!("{} {}: {} ({why})", tried.kind, tried.target, tried.result),
                None => format!("{} {}: {}", tried.kind, tried.target, tried.result),
            })
            .collect();
        let tried = if tried.is_empty() {
            "no reload way is configured".to_owned()
        } else {
            tried.join("; ")
        };
        format!("{}; {tried}", self.seen)
    }
}

/// Looks at what is served, without asking anybody for anything.
pub fn observe(host: &Host, settings: &Settings, expected: &str) -> Convergence {
    let _ = host;
    let mut convergence = Convergence {
        proof: Proof::Off,
        served: None,
        tried: Vec::new(),
        by: None,
        seen: "the proof is off".into(),
        took_ms: None,
    };
    let ServedAddress::At(address) = &settings.tls.served_address else {
        return convergence;
    };
    match look(address, settings.tls.domain.as_str(), HANDSHAKE) {
        Served::Chain(chain) => {
            let sha256 = chain
                .first()
                .map(|leaf| sha256_hex(leaf))
                .unwrap_or_default();
            convergence.proof = if sha256 == expected {
                Proof::Served
            } else {
                Proof::Failed
            };
            convergence.seen = if convergence.proof == Proof::Served {
                format!("{address} serves it")
            } else {
                format!(
                    "{address} serves another leaf ({})",
                    sha256.get(..12).unwrap_or("none")
                )
            };
            convergence.served = Some((address.clone(), sha256));
        }
        Served::Nothing => {
            convergence.proof = Proof::NothingListens;
            convergence.seen = format!("nothing listens on {address}");
        }
        Served::Failed(why) => {
            convergence.proof = Proof::Failed;
            convergence.seen = format!("{address}: {why}");
        }
    }
    convergence
}

/// Makes the served leaf the expected one: looks first, then asks way by way.
pub fn converge(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
) -> Convergence {
    let started = host.instant();
    match observe(host, settings, expected) {
        first if first.proof == Proof::Served => first,
        first => ask(host, settings, expected, last_worked, first).since(started),
    }
}

/// The same, asking also when the expected leaf is served already: a person wants it read again.
pub fn converge_always(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
) -> Convergence {
    let started = host.instant();
    let first = observe(host, settings, expected);
    ask(host, settings, expected, last_worked, first).since(started)
}

fn ask(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
    first: Convergence,
) -> Convergence {
    let mut tried = Vec::new();
    for way in ordered(&settings.tls.reload, last_worked) {
        let (kind, target) = describe(way);
        let mut entry = Tried {
            kind,
            target,
            result: "unproven",
            why: None,
        };
        match request(host, settings, way) {
            Err(Missing::Absent(why)) => (entry.result, entry.why) = ("absent", Some(why)),
            Err(Missing::Failed(why)) => (entry.result, entry.why) = ("failed", Some(why)),
            Ok(()) if settings.tls.served_address == ServedAddress::Off => {
                entry.result = "requested";
                tried.push(entry);
                return Convergence { tried, ..first };
            }
            Ok(()) => {
                let seen = await_leaf(host, settings, way, expected);
                if seen.proof == Proof::Served {
                    entry.result = "proven";
                    tried.push(entry.clone());
                    return Convergence {
                        tried,
                        by: Some(entry),
                        ..seen
                    };
                }
                entry.why = Some(seen.seen);
            }
        }
        tried.push(entry);
    }
    Convergence {
        tried,
        ..observe(host, settings, expected)
    }
}

fn await_leaf(host: &Host, settings: &Settings, way: &ReloadWay, expected: &str) -> Convergence {
    let started = host.instant();
    let mut pause = Duration::from_millis(4);
    let mut asked_again = false;
    loop {
        let seen = observe(host, settings, expected);
        if seen.proof == Proof::Served || started.elapsed() >= PROOF {
            return seen;
        }
        let repeatable = matches!(way, ReloadWay::Signal { .. } | ReloadWay::CaddyAdmin { .. });
        if repeatable && !asked_again && started.elapsed() >= ASK_AGAIN {
            asked_again = true;
            let _ = request(host, settings, way);
        }
        host.sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn ordered<'a>(ways: &'a [ReloadWay], last_worked: Option<&str>) -> Vec<&'a ReloadWay> {
    let mut ordered: Vec<&ReloadWay> = ways.iter().collect();
    // stable: only the one that last worked moves
    ordered.sort_by_key(|way| Some(name(way).as_str()) != last_worked);
    ordered
}

/// A way's identity across runs.
pub fn name(way: &ReloadWay) -> String {
    let (kind, target) = describe(way);
    format!("{kind} {target}")
}

fn describe(way: &ReloadWay) -> (&'static str, String) {
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
fn request(host: &Host, settings: &Settings, way: &ReloadWay) -> Result<(), Missing> {
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
        } => admin::load_again(url, PROOF),
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
            match host.run(&argv, Some(&settings.dir), PROOF) {
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
            match host.run(
                &["systemctl", "restart", "--", unit],
                None,
                Duration::from_secs(60),
            ) {
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
    let ran = match host.run(&argv, None, PROOF) {
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

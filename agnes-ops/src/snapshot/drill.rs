//! `snapshot drill`: the newest proven snapshot, restored into a scratch place and served there for as long as it takes to prove it.
//!
//! Always true: the server of the drill has no network but loopback, and no data but a copy; it is stopped and its place removed
//! whatever came of it; the time is from the first byte that is copied to a server that reads and writes (RTO).
//!
//! Does not: touch what is served.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::compare::differences;
use super::list::newest_proven;
use super::manifest::{MANIFEST, Manifest};
use super::proven::{Drill, Ledger};
use super::room::{Room, enough};
use super::{Surroundings, directory};
use crate::database::{FILE, Program, Reader, apart};
use crate::deployment::Deployment;
use crate::host::{Child, Host};
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::served::ControlSocket;

/// Of its room.
const NAME: &str = "drill";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// For a server to stop.
const GRACE: Duration = Duration::from_secs(30);
/// For one call of Docker's.
const CALL: Duration = Duration::from_secs(60);

/// `snapshot drill`.
///
/// # Errors
/// When the host refuses something; what is served was not touched.
pub fn drill(deployment: Deployment<'_>, surroundings: Surroundings<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let newest = newest_proven(deployment)?;
    let Some(manifest) = newest.and_then(|newest| newest.manifest) else {
        let message = format!(
            "{}: there is no proven snapshot to restore",
            directory(settings).display()
        );
        return Ok(refused("no-snapshot", message));
    };
    if let Err(why) = enough(host, &settings.state_dir, 2, manifest.bytes())? {
        return Ok(refused("no-room", why));
    }
    let mut steps = Steps::begin(host.instant());
    let begun = host.instant();
    let program = super::program(deployment, surroundings)?;
    let reader = super::reader(deployment, &program)?;
    end_a_killed_one(deployment)?;
    let room = Room::make(deployment, NAME, reader.owner)?;
    let tried = try_out(deployment, &reader, &manifest, &room.path, begun);
    // also what a server left there
    room.remove()?;
    let tried = match tried? {
        Ok(tried) => tried,
        Err(why) => {
            let mut ledger = Ledger::read(host, settings)?;
            let sum = host.sha256(&directory(settings).join(&manifest.id).join(MANIFEST))?;
            ledger.note(&manifest.id, &sum, None, "drill");
            ledger.write(host, settings)?;
            let message = format!("{}: {why}; it counts as damaged from now on", manifest.id);
            return Ok(refused("drill-failed", message).detail("snapshot", manifest.id.clone()));
        }
    };
    steps.done(format!("restore {}", manifest.id), host.instant());
    note(deployment, &manifest, tried.rto_ms)?;
    let text = format!(
        "{} was restored and served in {} ms",
        manifest.id, tried.rto_ms
    );
    let mut report = Report::ok(Outcome::Changed, text)
        .detail("snapshot", manifest.id.clone())
        .detail("rto_ms", tried.rto_ms)
        .detail("bytes", manifest.bytes())
        .detail("schema", tried.state.get("schema").cloned())
        .detail("version", tried.state.get("version").cloned());
    report.steps = steps.into_vec();
    Ok(report)
}

/// A drill that was killed leaves its server, which holds the lock of its own place.
fn end_a_killed_one(deployment: Deployment<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let lock = super::room::scratch(settings)
        .join(NAME)
        .join("state/agnesd.lock");
    if host.size(&lock)?.is_none() {
        return Ok(());
    }
    let holder = host.lock_holder(&lock)?;
    let pid = holder.and_then(|holder| holder.trim().parse::<i32>().ok());
    if let Some(running) = pid.map(|pid| host.process(pid)).transpose()?.flatten()
        && host.program_name(&running)?.as_deref() == Some("agnesd")
    {
        host.signal(&running, Signal::SIGKILL)?;
    }
    Ok(())
}

fn refused(reason: &str, message: String) -> Report {
    Report::refused(Exit::Failed, Refusal::new(reason, message))
}

fn note(deployment: Deployment<'_>, manifest: &Manifest, rto_ms: u64) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let now = host.now();
    let sum = host.sha256(&directory(settings).join(&manifest.id).join(MANIFEST))?;
    let mut ledger = Ledger::read(host, settings)?;
    ledger.note(&manifest.id, &sum, Some(now), "drill");
    ledger.last_drill = Some(Drill {
        snapshot: manifest.id.clone(),
        at: now,
        rto_ms,
    });
    ledger.write(host, settings)
}

struct Tried {
    rto_ms: u64,
    state: Value,
}

/// `Err`: why the snapshot does not restore.
fn try_out(
    deployment: Deployment<'_>,
    reader: &Reader<'_>,
    manifest: &Manifest,
    room: &Path,
    begun: Instant,
) -> Result<Result<Tried, String>> {
    let Deployment { host, settings, .. } = deployment;
    let state_dir = room.join("state");
    host.make_dir_as(&state_dir, 0o700, reader.owner)?;
    let from = directory(settings).join(&manifest.id).join(FILE);
    host.copy(&from, &state_dir.join(FILE), 0o600, reader.owner)?;
    let figures = match reader.check(&state_dir) {
        Ok(figures) => figures,
        Err(why) => return Ok(Err(why)),
    };
    if let Some((_, what)) = differences(manifest, &figures).into_iter().next() {
        return Ok(Err(what));
    }
    let mut server = match Scratch::start(host, reader, room) {
        Ok(server) => server,
        Err(why) => return Ok(Err(why)),
    };
    let patience = settings.upgrade.gate.timeout;
    let served = serves(host, &mut server, room, patience);
    let rto_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let stopped = server.stop();
    Ok(served.and_then(|state| stopped.map(|()| Tried { rto_ms, state })))
}

/// The server is ready, and writes, reads and deletes a row; what it says of itself.
fn serves(
    host: &Host,
    server: &mut Scratch<'_>,
    room: &Path,
    patience: Duration,
) -> Result<Value, String> {
    let socket = ControlSocket::in_data_dir(room);
    let begun = host.instant();
    loop {
        let looked = socket.get("/v1/state").map_err(|why| why.to_string());
        let why = match looked {
            Ok(state) if state.get("ready").and_then(Value::as_bool) == Some(true) => {
                match socket.post("/v1/canary", &json!({})) {
                    Ok(_) => return Ok(state),
                    Err(why) => format!("canary: {why}"),
                }
            }
            Ok(state) => format!(
                "the server is not ready: {}",
                state.get("reasons").unwrap_or(&Value::Null)
            ),
            Err(why) => why,
        };
        if let Some(ended) = server.ended() {
            return Err(ended);
        }
        if begun.elapsed() >= patience {
            return Err(format!("after {} s: {why}", patience.as_secs()));
        }
        host.sleep(PAUSE);
    }
}

/// A server on a copy.
enum Scratch<'a> {
    Process {
        host: &'a Host,
        child: Child,
        log: std::path::PathBuf,
    },
    Container {
        host: &'a Host,
        name: String,
    },
}

impl<'a> Scratch<'a> {
    fn start(host: &'a Host, reader: &Reader<'a>, room: &Path) -> Result<Self, String> {
        match reader.program {
            Program::Here(program) => {
                let (data, state) = (room.to_string_lossy(), room.join("state"));
                let state = state.to_string_lossy();
                let environment = [
                    ("DATA_DIR", &*data),
                    ("STATE_DIR", &*state),
                    ("AGNES_LISTEN", "127.0.0.1:0"),
                    ("METRICS_ADDR", "off"),
                    ("AGNES_TLS_LISTEN", ""),
                ];
                let log = room.join("server.log");
                let started = host.start(program, &["serve", "-C", &data], &environment, &log);
                let child = started.map_err(|why| format!("{}: {why}", program.display()))?;
                Ok(Self::Process { host, child, log })
            }
            Program::Image(image) => {
                let name = container(room);
                let server = Self::Container {
                    host,
                    name: name.clone(),
                };
                // of a drill that was killed
                let _ = host.run(&["docker", "rm", "--force", &name], None, CALL);
                let apart = apart(room, reader.owner);
                let mut argv = vec!["docker", "run", "--detach", "--name", &name];
                argv.extend(apart.iter().map(String::as_str));
                argv.extend([image.as_str(), "serve"]);
                match host.run(&argv, None, CALL) {
                    Ok(ran) if ran.code == 0 => Ok(server),
                    Ok(ran) => Err(format!("docker run: {}", ran.last_line())),
                    Err(error) => Err(format!("docker run: {error}")),
                }
            }
        }
    }

    /// Why it runs no more.
    fn ended(&mut self) -> Option<String> {
        match self {
            Self::Process { host, child, log } => {
                let code = child.ended()?;
                let said = host.read_end(log, 4096).ok().flatten().unwrap_or_default();
                let said = String::from_utf8_lossy(&said).into_owned();
                let last = said.lines().next_back().unwrap_or("it logged nothing");
                Some(format!("the server ended with {code}: {last}"))
            }
            Self::Container { host, name } => {
                let format = "{{.State.Running}} {{.State.ExitCode}}";
                let argv = ["docker", "inspect", "--format", format, name];
                let ran = host.run(&argv, None, CALL).ok()?;
                let said = ran.stdout.trim().strip_prefix("false ")?.to_owned();
                Some(format!("the server ended with {said}"))
            }
        }
    }

    fn stop(mut self) -> Result<(), String> {
        match &mut self {
            Self::Process { host, child, .. } => {
                let pid = i32::try_from(child.id()).unwrap_or_default();
                let running = host.process(pid).ok().flatten();
                if let Some(running) = running {
                    let _ = host.signal(&running, Signal::SIGTERM);
                }
                let begun = host.instant();
                while child.ended().is_none() {
                    if begun.elapsed() >= GRACE {
                        if let Some(running) = running {
                            let _ = host.signal(&running, Signal::SIGKILL);
                        }
                        return Err("the server did not stop".to_owned());
                    }
                    host.sleep(PAUSE);
                }
                Ok(())
            }
            Self::Container { host, name } => {
                let stopped = host.run(&["docker", "stop", name], None, CALL);
                let removed = host.run(&["docker", "rm", "--force", name], None, CALL);
                for ran in [stopped, removed] {
                    match ran {
                        Ok(ran) if ran.code == 0 => {}
                        Ok(ran) => return Err(format!("docker: {}", ran.last_line())),
                        Err(error) => return Err(format!("docker: {error}")),
                    }
                }
                Ok(())
            }
        }
    }
}

/// One name for a deployment's drills, so that what a killed one left is found.
fn container(room: &Path) -> String {
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        room.to_string_lossy().as_bytes(),
    );
    let hex = crate::sha256::hex(digest.as_ref());
    format!("agnes-drill-{}", hex.get(..12).unwrap_or(&hex))
}

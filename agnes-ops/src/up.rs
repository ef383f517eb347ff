//! `up` and `down` for runtime "process": one `agnesd` beside us, with its secrets and the certificate it serves.
//!
//! Always true: `up` again changes nothing; it ends well only when the installed leaf is what the server presents (or,
//! without TLS, when the server says it is ready); a server is stopped by SIGTERM and never killed.
//!
//! Does not: supervise. A host that must survive reboots runs the server as a systemd unit or under Compose.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::{Runtime, Settings};
use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::host::{Child, Host, Running};
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::secrets::{self, EnsureOptions};
use crate::served;
use crate::sha256::sha256;
use crate::tls::{self, ProofTime, RotateOptions};

/// From start to ready.
const READY: Duration = Duration::from_secs(20);

/// How `up` runs.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// For the secrets that the server starts with.
    pub secrets: EnsureOptions<'a>,
    /// What the last rotation of the certificate remembered.
    pub rotation: Option<&'a Value>,
}

/// What `up` started, so that the next `up` knows whether it is still what it would start.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Started {
    pid: i32,
    build: String,
    settings: String,
}

/// The server's process, as its pid file names it.
#[derive(Debug)]
pub struct Server {
    running: Running,
}

impl Server {
    /// Process id.
    pub fn pid(&self) -> i32 {
        self.running.pid
    }
}

/// The running server of this deployment, if there is one.
///
/// # Errors
/// When its pid file or process cannot be looked at.
pub fn server(host: &Host, settings: &Settings) -> Result<Option<Server>> {
    let path = pid_file(settings);
    let bytes = host.read(&path);
    let bytes = bytes.with_context(|| format!("{}: read", path.display()))?;
    let number = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().parse::<i32>());
    let Some(pid) = number.and_then(Result::ok).filter(|pid| *pid > 1) else {
        return by_its_lock(host, settings);
    };
    let Some(running) = host.process(pid)? else {
        return Ok(None);
    };
    if !is_the_server(host, settings, &running)? {
        return Ok(None);
    }
    // after a reboot another program may have its number
    let recycled = host.started_secs(&running)? > host.modified_secs(&path)? + 2;
    Ok((!recycled).then_some(Server { running }))
}

/// Where the file with its number is gone, the lock that it holds for life still names it.
fn by_its_lock(host: &Host, settings: &Settings) -> Result<Option<Server>> {
    let path = settings.state_dir.join("agnesd.lock");
    // who may not look could not signal it either
    let holder = host.lock_holder(&path).ok().flatten();
    let pid = holder.and_then(|holder| holder.parse::<i32>().ok());
    let Some(running) = pid.map(|pid| host.process(pid)).transpose()?.flatten() else {
        return Ok(None);
    };
    let is_it = is_the_server(host, settings, &running)?;
    Ok(is_it.then_some(Server { running }))
}

/// A number in a file is no proof: the process must be called as the server is, and hold the lock that a server of this
/// state directory holds for life.
fn is_the_server(host: &Host, settings: &Settings, running: &Running) -> Result<bool> {
    if host.program_name(running)?.as_deref() != Some("agnesd") {
        return Ok(false);
    }
    let path = settings.state_dir.join("agnesd.lock");
    match host.lock_holder(&path) {
        Ok(holder) => Ok(holder.is_some_and(|holder| holder == running.pid.to_string())),
        // the server's own user and root may open it; who may not could not signal the server either
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(true),
        Err(error) => Err(error).with_context(|| format!("{}: look at", path.display())),
    }
}

/// Brings the service up.
///
/// # Errors
/// When the host refuses something; what was done before it stays and is found again by the next run.
pub fn up(deployment: Deployment<'_>, program: &Path, options: &Options<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if settings.runtime == Runtime::Compose {
        return Ok(not_here("up"));
    }
    let dry_run = options.dry_run;
    let mut secrets = secrets::ensure(deployment, &options.secrets)?;
    if let Some(refusal) = &mut secrets.refusal {
        refusal.message = format!("{}; agnesd was left as it is", refusal.message);
        secrets.memory = None;
        return Ok(secrets);
    }
    let running = server(host, settings)?;
    let wanted = wanted(host, settings, program)?;
    let recorded = recorded(host, settings);
    let same = |server: &Server| {
        let found = Started {
            pid: server.pid(),
            ..wanted.clone()
        };
        recorded.as_ref().is_none_or(|started| *started == found)
    };
    let (verb, stop, proof) = match &running {
        Some(server) if same(server) => ("", None, ProofTime::Now),
        Some(server) => ("restart agnesd", Some(server), ProofTime::AfterStart),
        None => ("start agnesd", None, ProofTime::AfterStart),
    };
    let rotate = RotateOptions {
        dry_run,
        proof,
        ensure: true,
        ..RotateOptions::default()
    };
    let mut report = tls::rotate(deployment, rotate, options.rotation)?;
    // `up` has no memory of its own; the rotation's belongs to `tls rotate`
    report.memory = None;
    report.steps.splice(0..0, secrets.steps);
    if secrets.outcome == Outcome::Changed && report.outcome == Outcome::Unchanged {
        report.outcome = Outcome::Changed;
    }
    if dry_run {
        report.text = format!("{}\n{}", secrets.text, report.text);
        if !verb.is_empty() {
            report.text = format!("{}\n{verb}", report.text);
            report.steps.push(Step::planned(verb));
        }
        return Ok(report);
    }
    let mut steps = Steps::begin(host.instant());
    if !verb.is_empty() {
        if let Some(server) = stop
            && let Some(refusal) = stop_server(host, settings, server)?
        {
            return Ok(with_failure(report, refusal));
        }
        if let Some(refusal) = start(host, settings, program, wanted)? {
            return Ok(with_failure(report, refusal));
        }
        steps.done(verb, host.instant());
        report.steps.extend(steps.into_vec());
        report.outcome = Outcome::Changed;
    }
    prove(deployment, report)
}

/// Starts the server and waits until it is ready; why it is not.
fn start(
    host: &Host,
    settings: &Settings,
    program: &Path,
    wanted: Started,
) -> Result<Option<Refusal>> {
    let log = settings.state_dir.join("ops/agnesd.log");
    host.make_dir(&settings.state_dir.join("ops"))?;
    let arguments = ["serve", "-C", path_text(&settings.dir)?];
    let mut child = host
        .start(program, &arguments, &[], &log)
        .with_context(|| format!("{}: start; nothing runs", program.display()))?;
    if let Some(refusal) = await_ready(host, settings, &mut child, &log)? {
        return Ok(Some(refusal));
    }
    let pid = i32::try_from(child.id()).context("process number")?;
    let started = Started { pid, ..wanted };
    host.install(
        &started_file(settings),
        &serde_json::to_vec(&started)?,
        0o644,
        None,
    )?;
    Ok(None)
}

/// Whether the running server is one that `up` started.
pub fn is_ours(host: &Host, settings: &Settings) -> bool {
    let running = server(host, settings).ok().flatten();
    let recorded = recorded(host, settings);
    settings.runtime == Runtime::Process
        && running.is_some_and(|server| recorded.is_some_and(|one| one.pid == server.pid()))
}

/// Whether the last server of this deployment was started by `up`, also when it has ended.
pub fn was_ours(host: &Host, settings: &Settings) -> bool {
    settings.runtime == Runtime::Process && recorded(host, settings).is_some()
}

/// Stops the server that `up` started and starts it again, as it is configured now.
///
/// # Errors
/// When it does not stop, or the new one is not ready.
pub fn restart(host: &Host, settings: &Settings, program: &Path) -> Result<()> {
    let wanted = wanted(host, settings, program)?;
    let stopped = match server(host, settings)? {
        Some(server) => stop_server(host, settings, &server)?,
        None => None,
    };
    let refusal = match stopped {
        Some(refusal) => Some(refusal),
        None => start(host, settings, program, wanted)?,
    };
    match refusal {
        Some(refusal) => anyhow::bail!("restart agnesd: {}", refusal.message),
        None => Ok(()),
    }
}

/// The end of `up`: what is served is what is installed.
fn prove(deployment: Deployment<'_>, mut report: Report) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let survey = tls::survey(deployment);
    for (key, value) in survey.details {
        // the rotation's own reload is what the contract's field tells
        if key != "reload" {
            report.details.insert(key, value);
        }
    }
    let pid = server(host, settings)?.map(|server| server.pid());
    report
        .details
        .insert("server".into(), json!({"pid": pid, "url": url(settings)}));
    let proof = report
        .details
        .get("proof")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let proven = match settings.server.tls_listen {
        Some(_) => proof == "served" || proof == "off",
        None => true,
    };
    report.text = format!(
        "agnesd (pid {}) on {}\n{}",
        pid.unwrap_or(0),
        url(settings),
        survey.sentence
    );
    if !proven && report.refusal.is_none() {
        let message = format!(
            "agnesd runs, but its certificate is not proven: {}",
            survey.sentence
        );
        return Ok(with_failure(report, Refusal::new("not-served", message)));
    }
    Ok(report)
}

/// Stops the service.
///
/// # Errors
/// When its process cannot be looked at or signalled.
pub fn down(host: &Host, settings: &Settings, dry_run: bool) -> Result<Report> {
    if settings.runtime == Runtime::Compose {
        return Ok(not_here("down"));
    }
    let Some(server) = server(host, settings)? else {
        return Ok(Report::ok(Outcome::Unchanged, "agnesd is not running"));
    };
    if dry_run {
        let mut report = Report::ok(
            Outcome::Unchanged,
            format!("would stop agnesd (pid {})", server.pid()),
        );
        report.steps.push(Step::planned("stop agnesd"));
        return Ok(report);
    }
    let mut steps = Steps::begin(host.instant());
    if let Some(refusal) = stop_server(host, settings, &server)? {
        return Ok(Report::refused(Exit::Failed, refusal));
    }
    steps.done("stop agnesd", host.instant());
    let log = settings.state_dir.join("ops/agnesd.log");
    let ours = recorded(host, settings).is_some_and(|started| started.pid == server.pid());
    let last = last_line(host, &log)?;
    // a server that somebody else started logs elsewhere
    if ours && last.contains("agnesd: serve: stop: ") {
        let message = format!(
            "agnesd (pid {}) has stopped, not cleanly: {last}",
            server.pid()
        );
        let mut report = Report::refused(Exit::Failed, Refusal::new("stop-unclean", message))
            .detail("server", json!({"pid": server.pid()}));
        report.outcome = Outcome::Changed;
        report.steps = steps.into_vec();
        return Ok(report);
    }
    let mut report = Report::ok(
        Outcome::Changed,
        format!("agnesd (pid {}) has drained and stopped", server.pid()),
    )
    .detail("server", json!({"pid": server.pid()}));
    report.steps = steps.into_vec();
    Ok(report)
}

/// Where the service answers.
pub fn url(settings: &Settings) -> String {
    match settings.server.tls_listen {
        Some(address) => format!(
            "https://{}:{}",
            settings.tls.domain.as_str(),
            address.port()
        ),
        None => format!("http://{}", settings.server.listen),
    }
}

fn stop_server(host: &Host, settings: &Settings, server: &Server) -> Result<Option<Refusal>> {
    let pid = server.pid();
    match host.signal(&server.running, Signal::SIGTERM) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("agnesd (pid {pid}): stop")),
    }
    let deadline = settings.server.drain + Duration::from_secs(5);
    let started = host.instant();
    while host.process(pid)?.is_some_and(|now| now == server.running) {
        if started.elapsed() >= deadline {
            let message = format!(
                "agnesd (pid {pid}) still runs {} s after SIGTERM; it was not killed",
                deadline.as_secs()
            );
            return Ok(Some(Refusal::new("still-running", message)));
        }
        host.sleep(Duration::from_millis(20));
    }
    Ok(None)
}

/// Waits until the started server has bound its listeners and answers.
fn await_ready(
    host: &Host,
    settings: &Settings,
    child: &mut Child,
    log: &Path,
) -> Result<Option<Refusal>> {
    let started = host.instant();
    loop {
        if let Some(code) = child.ended() {
            let message = format!(
                "agnesd ended at once with exit {code}: {}",
                last_line(host, log)?
            );
            let hint = format!("its log is {}", log.display());
            return Ok(Some(Refusal::new("server-ended", message).hint(hint)));
        }
        // its own pid file: another server on the same port would answer too
        let bound = server(host, settings)?
            .is_some_and(|server| u32::try_from(server.pid()) == Ok(child.id()));
        if bound && served::is_ready(&settings.server.listen, Duration::from_secs(1)) {
            return Ok(None);
        }
        if started.elapsed() >= READY {
            let message = format!(
                "agnesd runs, but is not ready after {} s: {}",
                READY.as_secs(),
                last_line(host, log)?
            );
            return Ok(Some(Refusal::new("not-ready", message)));
        }
        host.sleep(Duration::from_millis(20));
    }
}

fn last_line(host: &Host, log: &Path) -> Result<String> {
    let bytes = host
        .read_end(log, 64 << 10)
        .with_context(|| format!("{}: read", log.display()))?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !line.starts_with("hint:"))
        .unwrap_or("it logged nothing")
        .trim()
        .to_owned())
}

fn wanted(host: &Host, settings: &Settings, program: &Path) -> Result<Started> {
    let build = host.build_of(program).with_context(|| {
        format!(
            "{}: the server's program, beside agnes-ops or on the PATH",
            program.display()
        )
    })?;
    // all that it reads once; secrets are no part of it: they are taken up while it runs
    let read_once = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
        settings.server,
        settings.mail,
        settings.oidc,
        settings.limits,
        settings.audit,
        settings.store,
        settings.jobs,
        settings.log_level
    );
    let settings = sha256(read_once.as_bytes());
    Ok(Started {
        pid: 0,
        build,
        settings,
    })
}

fn recorded(host: &Host, settings: &Settings) -> Option<Started> {
    serde_json::from_slice(&host.read(&started_file(settings)).ok()??).ok()
}

fn started_file(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/agnesd.json")
}

fn pid_file(settings: &Settings) -> PathBuf {
    settings.state_dir.join("agnesd.pid")
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{}: not UTF-8", path.display()))
}

fn not_here(verb: &str) -> Report {
    let message = format!(
        "{verb} is for runtime \"process\"; this deployment's runtime is \"compose\"; nothing was touched"
    );
    let hint = "set AGNES_RUNTIME=process, or use docker compose";
    Report::refused(
        Exit::Config,
        Refusal::new("runtime-compose", message).hint(hint),
    )
}

fn with_failure(mut report: Report, refusal: Refusal) -> Report {
    report.exit = Exit::Failed;
    report.refusal = Some(refusal);
    report
}

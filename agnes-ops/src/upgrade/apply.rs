//! `upgrade`, one tick: what was cut off is finished or undone; else what is wanted becomes what runs, or waits, or nothing has to
//! change.
//!
//! Always true: an open journal is read first; a digest that was bad is not tried again (U08); ticks that come too soon do nothing
//! (U14).
//!
//! Does not: do the steps (`swap` does).

use agnes_config::{Runtime, UpgradeMode, Wanted};
use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;

use super::check::{described, said};
use super::containers::{Docker, pinned};
use super::gate::Before;
use super::history::Proof;
use super::journal;
use super::ledger::Ledger;
use super::plan::{App, Decision, Seen, Waits, decide};
use super::report::end;
use super::steps::planned;
use super::swap::{Failed, Stop, Swap};
use super::transaction::{Phase, Release, Transaction};
use super::{SERVICE, Surroundings, drift, observe, prune, waiting};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::env_file::Lookup;
use crate::image::Digest;
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::served::ControlSocket;
use crate::snapshot;

/// How a tick runs.
#[derive(Clone)]
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// A person's choice, in place of what the settings follow; it heeds no window, hold or mode.
    pub to: Option<Wanted>,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// `render compose`, where the stack's files are ours.
    pub render: Option<&'a dyn Fn() -> Result<Report>>,
    /// What a restore that was cut off has left; `None`: nothing is left of it.
    pub restore: &'a dyn Fn() -> Result<Option<Report>>,
    /// Going back, the data of the snapshot before the upgrade goes back too.
    pub with_data: bool,
    /// For the snapshot before it.
    pub snapshots: snapshot::Surroundings<'a>,
    /// When the last tick ended, in seconds since 1970.
    pub last: Option<i64>,
}

/// One tick.
///
/// # Errors
/// When something cannot be looked at, or a file of ours cannot be understood.
pub fn apply(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    options: &Options<'_>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if let Some(report) = finish_open(deployment, surroundings, options)? {
        return Ok(report);
    }
    if let Some(report) = too_soon(deployment, options) {
        return Ok(report);
    }
    let mut seen = observe::look(deployment, surroundings, options.to.as_ref())?;
    if options.to.is_some() {
        // a person is there to see what comes of it
        (seen.mode, seen.hold, seen.window_opens) = (UpgradeMode::Auto, None, None);
    }
    let decision = decide(&seen);
    let Decision::Upgrade {
        from,
        to,
        waits: None,
    } = &decision
    else {
        let report = nothing_begun(&seen, &decision);
        if matches!(decision, Decision::Unchanged(_)) && seen.app == App::Runs {
            return stays(deployment, surroundings, options, &seen, report);
        }
        if !options.dry_run {
            waiting::forget(host, settings);
        }
        return Ok(report);
    };
    let ledger = Ledger::read(host, settings)?;
    if let Some(bad) = ledger.entry(to).filter(|_| options.to.is_none()) {
        let text = format!("{}: {}", seen.reference, bad.not_tried_again());
        let report = Report::ok(Outcome::Unchanged, text).detail("ledger", json!(ledger.bad));
        let report = described(report.detail("reason", "in-ledger"), &seen, &decision);
        // it is the version that runs whose files and services have to be as they should
        return stays(deployment, surroundings, options, &seen, report);
    }
    if options.dry_run {
        let from = from.as_ref().map_or("what runs", Digest::short);
        let to = release(&seen, to);
        return Ok(described(planned(from, &to), &seen, &decision));
    }
    let engine = Engine::of(surroundings.docker_host)?;
    let Some(old) = running(deployment, &engine, &seen, from.as_ref())? else {
        return Ok(said(&seen, &Decision::NothingRuns));
    };
    let tag = seen.reference.tag().map(str::to_owned);
    let transaction = Transaction {
        tag,
        ..new(deployment, old, release(&seen, to))
    };
    begin(deployment, options, engine, transaction)
}

/// The version that runs stays: its files and services are put right, and images that nobody needs any more go.
fn stays(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    options: &Options<'_>,
    seen: &Seen,
    report: Report,
) -> Result<Report> {
    let engine = Engine::of(surroundings.docker_host)?;
    let mut report = drift(deployment, &engine, options, seen, report)?;
    if options.dry_run || report.refusal.is_some() {
        return Ok(report);
    }
    let removed = prune::prune(deployment, &engine)?;
    if removed > 0 {
        report.outcome = Outcome::Changed;
        report.text = format!("{}; {removed} older images removed", report.text);
    }
    Ok(report)
}

/// Files and services are a person's turn when upgrades are, and wait for a hold as upgrades do; a window is for versions.
fn drift(
    deployment: Deployment<'_>,
    engine: &Engine,
    options: &Options<'_>,
    seen: &Seen,
    report: Report,
) -> Result<Report> {
    if seen.mode == UpgradeMode::Auto && seen.hold.is_none() {
        return drift::converge(deployment, engine, options, report);
    }
    if !options.dry_run {
        waiting::forget(deployment.host, deployment.settings);
    }
    let containers = engine.containers(&deployment.settings.dir)?;
    let found = drift::found(deployment, &containers, options)?;
    Ok(report.detail("drift", json!(found.unwrap_or_default())))
}

/// What runs; `None`: it is gone.
///
/// # Errors
/// When the engine does not answer, or does not keep it.
pub fn running(
    deployment: Deployment<'_>,
    engine: &Engine,
    seen: &Seen,
    from: Option<&Digest>,
) -> Result<Option<Release>> {
    let Deployment { host, settings, .. } = deployment;
    let containers = engine.containers(&settings.dir)?;
    let Some(app) = containers.iter().find(|one| one.service == SERVICE) else {
        return Ok(None);
    };
    let running = engine.inspect(&app.id)?;
    let image = match from {
        Some(digest) => pinned(seen.reference.repository.name(), digest),
        // what was built here has no digest: a tag of ours holds it
        None => Docker::new(host, &settings.dir)
            .keep(engine, &running.image_id)
            .map_err(|why| anyhow::anyhow!("keep the running image: {why}; nothing was touched"))?,
    };
    Ok(Some(Release {
        digest: from.cloned(),
        image,
        image_id: running.image_id,
    }))
}

/// What is wanted, before it was pulled.
pub fn release(seen: &Seen, to: &Digest) -> Release {
    Release {
        digest: Some(to.clone()),
        image: pinned(seen.reference.repository.name(), to),
        image_id: String::new(),
    }
}

/// The refusal of a host that runs no image.
pub fn runtime_process() -> Report {
    let message = "AGNES_RUNTIME is process, which runs no image; nothing was touched";
    Report::refused(Exit::Config, Refusal::new("runtime-process", message))
}

/// What comes before every upgrade: there is something to upgrade, and what another run left open is finished or undone; `None`: nothing of it is left, and the version that runs was never touched.
///
/// # Errors
/// As [`apply`].
pub fn finish_open(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    options: &Options<'_>,
) -> Result<Option<Report>> {
    let Deployment { host, settings, .. } = deployment;
    if settings.runtime == Runtime::Process {
        return Ok(Some(runtime_process()));
    }
    if !options.dry_run
        && let Some(report) = (options.restore)()?
    {
        return Ok(Some(report));
    }
    let journal = journal(&settings.state_dir);
    let Some(open) = journal.read::<Transaction>(host)? else {
        return Ok(None);
    };
    if options.dry_run {
        let text = format!("would finish or undo {}, which was cut off", open.id);
        return Ok(Some(Report::ok(Outcome::Unchanged, text)));
    }
    let untouched = open.phase == Phase::Preparing;
    let engine = Engine::of(surroundings.docker_host)?;
    let report = go_on(swap(deployment, options, engine, journal, open, None))?;
    Ok(Some(report).filter(|report| !untouched || report.exit == Exit::Degraded))
}

/// Ticks that catch up after a clock's jump come in one second.
fn too_soon(deployment: Deployment<'_>, options: &Options<'_>) -> Option<Report> {
    let least = deployment.settings.upgrade.min_interval;
    if options.to.is_some() || options.dry_run || least.is_zero() {
        return None;
    }
    let since = deployment.host.now().unix_timestamp() - options.last?;
    // one in the future is a clock that was put back
    let soon = since >= 0 && since.unsigned_abs() < least.as_secs();
    soon.then(|| {
        let text = format!(
            "the last tick was {since} s ago, and upgrade.min_interval is {} s",
            least.as_secs()
        );
        Report::ok(Outcome::Unchanged, text).detail("reason", "too-soon")
    })
}

fn nothing_begun(seen: &Seen, decision: &Decision) -> Report {
    let mut report = said(seen, decision);
    if let Decision::Upgrade {
        waits: Some(waits), ..
    } = decision
    {
        report = match waits {
            // a person's turn is no reason to try again
            Waits::Manual => Report::ok(Outcome::Unchanged, report.text),
            _ => Report::refused(Exit::Deferred, Refusal::new(waits.word(), report.text)),
        };
    }
    described(report, seen, decision)
}

/// A swap from one version to another, which has done nothing yet.
pub fn new(deployment: Deployment<'_>, from: Release, to: Release) -> Transaction {
    let now = deployment.host.now();
    Transaction::new(id(now, &to), now.unix_timestamp(), from, to)
}

/// A new swap, to its end.
///
/// # Errors
/// When the host or the engine refuses before anything was touched.
pub fn begin(
    deployment: Deployment<'_>,
    options: &Options<'_>,
    engine: Engine,
    transaction: Transaction,
) -> Result<Report> {
    let settings = deployment.settings;
    let containers = engine.containers(&settings.dir)?;
    let app = containers.iter().find(|one| one.service == SERVICE);
    let app = app.ok_or_else(|| anyhow::anyhow!("the container of {SERVICE} is gone"))?;
    let running = engine.inspect(&app.id)?;
    let before = Before::look(deployment, &engine, &containers, &running)?;
    let transaction = Transaction {
        container: app.id.clone(),
        ..transaction
    };
    let journal = journal(&settings.state_dir);
    let mut swap = swap(
        deployment,
        options,
        engine,
        journal,
        transaction,
        Some(before),
    );
    let stopped = swap.forward();
    end(swap, stopped)
}

fn id(now: OffsetDateTime, to: &Release) -> String {
    let stamp = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    format!(
        "{}-{}",
        now.format(stamp).unwrap_or_default(),
        to.digest.as_ref().map_or("built-here", Digest::short)
    )
}

/// A swap that has not begun, or that another run began.
pub fn swap<'a>(
    deployment: Deployment<'a>,
    options: &Options<'a>,
    engine: Engine,
    journal: Journal,
    transaction: Transaction,
    before: Option<Before>,
) -> Swap<'a> {
    let Deployment { host, settings, .. } = deployment;
    Swap {
        deployment,
        lookup: options.lookup,
        snapshots: options.snapshots,
        render: options.render,
        engine,
        docker: Docker::new(host, &settings.dir),
        socket: ControlSocket::of(settings),
        journal,
        steps: Steps::begin(host.instant()),
        transaction,
        before,
        proof: Proof::default(),
    }
}

/// What another run began: a version that takes writes is looked at again, everything before that is undone.
fn go_on(mut swap: Swap<'_>) -> Result<Report> {
    if swap.transaction.phase == Phase::Released {
        let stopped = swap.go_on();
        return end(swap, stopped);
    }
    let interrupted = Failed {
        step: "journal",
        reason: "interrupted",
        why: "another run was cut off".to_owned(),
        bad: false,
    };
    end(swap, Err(Stop::Failed(interrupted)))
}

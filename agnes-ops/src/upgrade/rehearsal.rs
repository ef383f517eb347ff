//! `upgrade rehearse`: what is wanted is pulled and tried on a copy of the data, and what an upgrade to it would cost is told.
//!
//! Always true: the version that serves is neither stopped nor held; the ledger is left as it is, for a person looks at what comes of
//! it; a rehearsal that was cut off is cleaned up by the next run.
//!
//! Does not: swap anything.

use std::path::Path;
use std::time::Instant;

use agnes_config::{Runtime, UpgradeMode};
use anyhow::Result;
use serde_json::json;

use super::apply::{Options, new, release, running, runtime_process, swap};
use super::check::{described, said};
use super::expected::Expected;
use super::journal;
use super::plan::{App, Decision, decide};
use super::report::finished;
use super::swap::{Stop, Swap};
use super::transaction::Transaction;
use super::{Surroundings, history, observe, preflight, prune};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report};

/// Rehearses.
///
/// # Errors
/// When something cannot be looked at, or the host refuses; nothing that serves was touched.
pub fn rehearse(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    options: &Options<'_>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if settings.runtime == Runtime::Process {
        return Ok(runtime_process());
    }
    let journal = journal(&settings.state_dir);
    if let Some(open) = journal.read::<Transaction>(host)? {
        let message = format!(
            "{} was cut off and is not finished; nothing was touched",
            open.id
        );
        let refusal = Refusal::new("interrupted", message).hint("agnes-ops upgrade");
        return Ok(Report::refused(Exit::Failed, refusal));
    }
    if Journal::new(&settings.state_dir, "restore").is_open(host)? {
        let message = "a restore was cut off and is not finished; nothing was touched";
        let refusal = Refusal::new("interrupted", message).hint("agnes-ops upgrade");
        return Ok(Report::refused(Exit::Failed, refusal));
    }
    let mut seen = observe::look(deployment, surroundings, options.to.as_ref())?;
    // nothing is upgraded: no mode, window or hold is in the way, and a server that was stopped has its data too
    (seen.mode, seen.hold, seen.window_opens) = (UpgradeMode::Auto, None, None);
    if matches!(seen.app, App::Stopped(_)) {
        seen.app = App::Runs;
    }
    let decision = decide(&seen);
    let Decision::Upgrade { from, to, .. } = &decision else {
        return Ok(described(said(&seen, &decision), &seen, &decision));
    };
    let engine = Engine::of(surroundings.docker_host)?;
    let Some(old) = running(deployment, &engine, &seen, from.as_ref())? else {
        return Ok(said(&seen, &Decision::NothingRuns));
    };
    let transaction = Transaction {
        rehearsal: true,
        tag: seen.reference.tag().map(str::to_owned),
        ..new(deployment, old, release(&seen, to))
    };
    let mut swap = swap(deployment, options, engine, journal, transaction, None);
    let stopped = swap.rehearse();
    swap.end_of_rehearsal(stopped.as_ref().err().map(why))?;
    prune::later(host, settings)?;
    match stopped {
        Ok(snapshot) => told(swap, &snapshot),
        Err(stop) => Ok(refused(swap, &stop)),
    }
}

/// In one clause.
fn why(stop: &Stop) -> String {
    match stop {
        Stop::Deferred(_, message) => message.clone(),
        Stop::Failed(failure) => format!("{}: {}", failure.step, failure.why),
    }
}

fn refused(swap: Swap<'_>, stop: &Stop) -> Report {
    let (reason, step) = match stop {
        Stop::Deferred(reason, _) => (*reason, None),
        Stop::Failed(failure) => (failure.reason, Some(failure.step)),
    };
    let message = format!(
        "{}; {} was not touched",
        why(stop),
        swap.transaction.from.short()
    );
    let report = Report::refused(Exit::Failed, Refusal::new(reason, message));
    finished(swap, report.detail("failed_step", step))
}

fn told(swap: Swap<'_>, snapshot: &Path) -> Result<Report> {
    let Deployment { host, settings, .. } = swap.deployment;
    let Some(rehearsed) = swap.proof.rehearsed else {
        anyhow::bail!("the rehearsal left no figures");
    };
    let begun = host.instant();
    host.sha256(snapshot)?;
    // the stopped file and its copy are read once more each, to be compared
    let copy_ms = rehearsed.copied_ms + 2 * elapsed_ms(begun);
    let stable_ms = i64::try_from(settings.upgrade.gate.stable_for.as_millis())?;
    let migration = swap
        .transaction
        .migrates
        .then_some((rehearsed.migrated_ms, stable_ms));
    let expected = Expected::of(&history::changes_ms(host, settings)?, copy_ms, migration);
    let disk = preflight::room(swap.deployment)?;
    let image_bytes = swap.engine.image_size(&swap.transaction.to.image_id)?;
    let migrated = rehearsed.migrated;
    let schema = match swap.transaction.migrates {
        true => format!(
            "it migrates the data from schema {} to {}: a later rollback needs --with-data",
            migrated.from, migrated.to
        ),
        false => format!("it changes nothing of the data (schema {})", migrated.from),
    };
    let text = format!(
        "{} opens a copy of the data; {schema}\nwrites would be held about {} ms: {}\nan upgrade needs {} MiB free for its copies, {} MiB are; the image takes {} MiB and is here\n{} runs and was not touched",
        swap.transaction.to.short(),
        expected.held_ms(),
        expected.words(),
        disk.needed_bytes >> 20,
        disk.free_bytes >> 20,
        image_bytes >> 20,
        swap.transaction.from.short()
    );
    let report = Report::ok(Outcome::Changed, text)
        .detail("expected_held_ms", expected.held_ms())
        .detail("expected_held", expected.to_json())
        .detail("schema", json!({"from": migrated.from, "to": migrated.to}))
        .detail(
            "disk",
            json!({
                "needed_bytes": disk.needed_bytes,
                "free_bytes": disk.free_bytes,
                "image_bytes": image_bytes,
            }),
        );
    Ok(finished(swap, report))
}

/// Since then, in milliseconds.
pub fn elapsed_ms(begun: Instant) -> i64 {
    i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX)
}

//! `upgrade explain`: the plan in words: what runs, what is wanted, what waits, and what each step would do and undo.
//!
//! Always true: changes nothing; one question to the registry; what a tick decides is decided by the same function.
//!
//! Does not: pull, or know whether the new version migrates (`upgrade rehearse` does).

use agnes_config::Runtime;
use anyhow::Result;
use serde_json::{Value, json};

use super::apply::runtime_process;
use super::check::{described, findings, said, words};
use super::journal;
use super::ledger::{Bad, Ledger};
use super::plan::{App, Decision, Seen, decide};
use super::steps::{self, Planned};
use super::transaction::{Phase, Transaction};
use super::{SERVICE, Surroundings, observe};
use crate::deployment::Deployment;
use crate::image::Digest;
use crate::outcome::{Exit, Report, Step};

/// Looks and says.
///
/// # Errors
/// When something cannot be looked at.
pub fn explain(deployment: Deployment<'_>, surroundings: &Surroundings<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if settings.runtime == Runtime::Process {
        return Ok(runtime_process());
    }
    let open: Option<Transaction> = journal(&settings.state_dir).read(host)?;
    let ledger = Ledger::read(host, settings)?;
    let seen = observe::look(deployment, surroundings, None)?;
    let decision = decide(&seen);
    let mut report = said(&seen, &decision);
    if report.refusal.is_some() {
        // what is wanted is not known, or nothing is there to be upgraded: there is no plan
        return Ok(described(report, &seen, &decision));
    }
    let bad = match &decision {
        Decision::Upgrade { to, .. } => ledger.entry(to),
        _ => None,
    };
    let steps = match &decision {
        Decision::Upgrade { from, to, .. } => {
            let from = from.as_ref().map_or("what runs", Digest::short);
            steps::of(from, to.short())
        }
        _ => Vec::new(),
    };
    report.text = text(&seen, &decision, open.as_ref(), bad, &steps);
    report.steps = steps
        .iter()
        .map(|step| Step::planned(step.name.as_str()))
        .collect();
    let plan: Vec<Value> = steps.iter().map(Planned::to_json).collect();
    if bad.is_some() && !report.details.contains_key("reason") {
        report = report.detail("reason", "in-ledger");
    }
    let open = open.map(|open| json!({"id": open.id, "phase": open.phase}));
    let report = described(report, &seen, &decision)
        .detail("plan", plan)
        .detail("open", open.unwrap_or_default())
        .detail("ledger", json!(ledger.bad));
    let mut report = findings(report, &seen);
    report.exit = Exit::Ok;
    Ok(report)
}

fn text(
    seen: &Seen,
    decision: &Decision,
    open: Option<&Transaction>,
    bad: Option<&Bad>,
    steps: &[Planned],
) -> String {
    let mut lines = Vec::new();
    if let Some(open) = open {
        lines.push(format!("first    {}", of_open(open)));
    }
    let runs = match (&seen.app, seen.running.first()) {
        (App::Runs, Some(digest)) => format!("{digest} in service {SERVICE}"),
        (App::Runs, None) => format!("an image that was built here, in service {SERVICE}"),
        (App::Stopped(state), _) => format!("nothing: service {SERVICE} is {state}"),
        (App::Absent, _) => format!("nothing: there is no container of service {SERVICE}"),
    };
    lines.push(format!("runs     {runs}"));
    match decision {
        Decision::Off | Decision::NothingRuns | Decision::Unknown(_) => {
            lines.push("wanted   nothing: upgrades are off (upgrade.mode)".to_owned());
        }
        Decision::Unchanged(digest) => {
            lines.push(format!("wanted   {digest}, which {} is", seen.reference));
            lines.push("a tick would do nothing: it runs".to_owned());
        }
        Decision::Upgrade { to, waits, .. } => {
            lines.push(format!("wanted   {to}, which {} is", seen.reference));
            let next = match (waits, bad) {
                (Some(waits), _) => format!("it waits: {}", words(waits)),
                (None, Some(bad)) => format!(
                    "a tick would do nothing, for it was tried: {}; agnes-ops upgrade forgive {to}",
                    bad.why
                ),
                (None, None) => "a tick would do this now:".to_owned(),
            };
            lines.push(next);
        }
    }
    for (number, step) in steps.iter().enumerate() {
        lines.push(format!("{:>4}. {}: {}", number + 1, step.name, step.does));
        lines.push(format!("      undo: {}", step.undo));
    }
    lines.join("\n")
}

/// What the next run does about a swap that was cut off.
fn of_open(open: &Transaction) -> String {
    let (from, to) = (open.from.short(), open.to.short());
    match open.phase {
        Phase::Preparing => format!(
            "{} was cut off before anything was stopped: it is forgotten",
            open.id
        ),
        Phase::Released => format!(
            "{} was cut off when {to} had taken writes: it is looked at again",
            open.id
        ),
        _ => format!("{} was cut off: {from} is put back", open.id),
    }
}

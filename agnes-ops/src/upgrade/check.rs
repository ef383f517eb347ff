//! `upgrade check`: would a tick do anything? Exit 0 or 10.
//!
//! Always true: changes nothing; one question to the registry.
//!
//! Does not: pull.

use agnes_config::Runtime;
use anyhow::Result;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::applied::{Applied, Drift};
use super::ledger::Ledger;
use super::plan::{App, Decision, Seen, Waits, decide};
use super::{SERVICE, Surroundings, observe};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::env_file::Lookup;
use crate::image::Digest;
use crate::outcome::{Exit, Outcome, Refusal, Report};

/// Looks and says.
///
/// # Errors
/// When something cannot be looked at.
pub fn check(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    lookup: Lookup<'_>,
) -> Result<Report> {
    if deployment.settings.runtime == Runtime::Process {
        let message = "AGNES_RUNTIME is process, which runs no image; nothing was touched";
        let refusal = Refusal::new("runtime-process", message);
        return Ok(Report::refused(Exit::Config, refusal));
    }
    let seen = observe::look(deployment, surroundings, None)?;
    let decision = decide(&seen);
    let report = described(said(&seen, &decision), &seen, &decision);
    let report = known_as_bad(deployment, report, &decision)?;
    let report = findings(report, &seen);
    let drift = drift(deployment, surroundings, lookup)?;
    Ok(with_drift(report, &drift))
}

/// A version that failed before is no work: a tick leaves it alone.
fn known_as_bad(
    deployment: Deployment<'_>,
    mut report: Report,
    decision: &Decision,
) -> Result<Report> {
    let ledger = Ledger::read(deployment.host, deployment.settings)?;
    if let Decision::Upgrade { to, .. } = decision
        && let Some(bad) = ledger.entry(to)
    {
        report.exit = Exit::Ok;
        report.text = bad.not_tried_again();
        report = report.detail("reason", "in-ledger");
    }
    Ok(report.detail("ledger", json!(ledger.bad)))
}

/// What is not as it was applied; nothing where nothing was.
///
/// # Errors
/// When something cannot be looked at.
pub fn drift(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    lookup: Lookup<'_>,
) -> Result<Vec<Drift>> {
    let Deployment { host, settings, .. } = deployment;
    let Some(applied) = Applied::read(host, settings)? else {
        return Ok(Vec::new());
    };
    let containers = Engine::of(surroundings.docker_host)?.containers(&settings.dir)?;
    let now = Applied::look(deployment, &containers, lookup)?;
    Ok(applied.drift(&now))
}

fn with_drift(mut report: Report, drift: &[Drift]) -> Report {
    if !drift.is_empty() {
        let names: Vec<&str> = drift.iter().map(|one| one.what.as_str()).collect();
        report.text = format!("{}\nnot as applied: {}", report.text, names.join(", "));
        if report.exit == Exit::Ok {
            report.exit = Exit::Drift;
        }
    }
    report.detail("drift", json!(drift))
}

/// The same report with what was seen.
pub fn described(mut report: Report, seen: &Seen, decision: &Decision) -> Report {
    let (from, to) = match decision {
        Decision::Unchanged(digest) => (Some(digest.clone()), Some(digest.clone())),
        Decision::Upgrade { from, to, .. } => (from.clone(), Some(to.clone())),
        _ => (seen.running.first().cloned(), None),
    };
    let tag = seen.reference.tag();
    let image = |digest: Option<Digest>| json!({"digest": digest, "tag": tag});
    for (key, value) in [
        ("image", json!(seen.reference.repository.name())),
        ("from", image(from)),
        ("to", image(to)),
        ("hold", json!(seen.hold)),
        ("mode", json!(seen.mode.as_str())),
    ] {
        report.details.insert(key.to_owned(), value);
    }
    report
}

/// The decision in words.
pub fn said(seen: &Seen, decision: &Decision) -> Report {
    let reference = &seen.reference;
    match decision {
        Decision::Off => Report::ok(
            Outcome::Unchanged,
            "upgrades are off (upgrade.mode); the registry was not compared",
        ),
        Decision::NothingRuns => {
            let message = format!("no container of service {SERVICE} is there to be upgraded");
            let refusal = Refusal::new("app-absent", message)
                .hint("docker compose up -d in the deployment's directory");
            Report::refused(Exit::Failed, refusal)
        }
        Decision::Unknown(failure) => {
            let message = format!("which digest {} is: {}", failure.url, failure.message);
            let mut refusal = Refusal::new(failure.reason.as_str(), message);
            refusal.hint.clone_from(&failure.hint);
            Report::refused(Exit::Failed, refusal)
        }
        Decision::Unchanged(digest) => Report::ok(
            Outcome::Unchanged,
            format!("{reference} is {}, which runs", digest.short()),
        ),
        Decision::Upgrade { from, to, waits } => {
            let from = from
                .as_ref()
                .map_or("an image that was built here", Digest::short);
            let text = format!("{reference} is {}, and {from} runs", to.short());
            let text = match waits {
                None => format!("{text}; a tick would upgrade"),
                Some(waits) => format!("{text}; {}", words(waits)),
            };
            let mut report = Report::ok(Outcome::Unchanged, text);
            report.exit = Exit::Drift;
            if let Some(waits) = waits {
                report = report.detail("reason", waits.word());
            }
            report
        }
    }
}

/// Why an upgrade waits.
pub fn words(waits: &Waits) -> String {
    match waits {
        Waits::OnHold(hold) => hold.sentence(),
        Waits::OutsideWindow(opens) => match opens.and_then(stamp) {
            Some(opens) => format!("the window opens at {opens}"),
            None => "the window does not open within a week".to_owned(),
        },
        Waits::Manual => "upgrades are a person's (upgrade.mode)".to_owned(),
        Waits::Stopped(state) => format!("service {SERVICE} is {state}, so nothing is swapped"),
    }
}

fn stamp(secs: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(secs)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// Services that should run and do not are drift too, whatever the digests say (U12).
pub fn findings(mut report: Report, seen: &Seen) -> Report {
    let mut stopped = seen.stopped.clone();
    if let App::Stopped(state) = &seen.app {
        stopped.insert(0, (SERVICE.to_owned(), state.clone()));
    }
    let listed: Vec<Value> = stopped
        .iter()
        .map(|(service, state)| json!({"service": service, "state": state}))
        .collect();
    if !stopped.is_empty() {
        let names: Vec<String> = stopped
            .iter()
            .map(|(service, state)| format!("{service} ({state})"))
            .collect();
        report.text = format!("{}\nnot running: {}", report.text, names.join(", "));
        if report.exit == Exit::Ok {
            report.exit = Exit::Drift;
        }
    }
    report.detail("stopped", listed)
}

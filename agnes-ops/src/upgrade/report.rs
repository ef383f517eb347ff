//! How a swap ended: what is put back, and what is told.
//!
//! Always true: every swap that was begun ends here: committed, put off, or undone.
//!
//! Does not: do a step forward.

use anyhow::Result;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::ledger::Ledger;
use super::swap::{Failed, Stop, Swap};
use super::transaction::{Phase, Release};
use super::waiting;
use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Refusal, Report};

/// Ends it.
///
/// # Errors
/// When the host refuses; the journal is open then.
pub fn end(mut swap: Swap<'_>, stopped: Result<(), Stop>) -> Result<Report> {
    match stopped {
        Ok(()) => committed(swap),
        Err(Stop::Deferred(reason, message)) => deferred(swap, reason, message),
        Err(Stop::Failed(failure)) => {
            let undone = swap.undo(&failure);
            Ok(taken_back(swap, &failure, undone))
        }
    }
}

fn committed(mut swap: Swap<'_>) -> Result<Report> {
    swap.commit()?;
    let deployment = swap.deployment;
    waiting::forget(deployment.host, deployment.settings);
    let to = &swap.transaction.to;
    let held = swap.transaction.held_ms.unwrap_or_default();
    let text = format!(
        "{} runs and has passed its gate; writes were held {held} ms",
        to.short()
    );
    let mut report = Report::ok(Outcome::Changed, text);
    if let Some(id) = &swap.transaction.data {
        let kept = swap.transaction.replaced_dir(deployment.settings);
        report.text = format!(
            "{}; the data is that of {id}, and what was there is kept in {}",
            report.text,
            kept.display()
        );
        report = report
            .detail("snapshot", id.clone())
            .detail("kept", kept.display().to_string());
    }
    Ok(finished(swap, report))
}

/// Something has to pass first; nothing that serves was changed.
fn deferred(swap: Swap<'_>, reason: &'static str, message: String) -> Result<Report> {
    let Deployment { host, settings, .. } = swap.deployment;
    let digest = swap.transaction.to.digest.clone();
    let overdue = waiting::overdue(host, settings, digest.as_ref())?;
    let _ = swap.socket.post("/v1/resume", &json!({}));
    swap.journal.close(host)?;
    let report = match overdue {
        None => Report::refused(Exit::Deferred, Refusal::new(reason, message)),
        Some(secs) => {
            let message = format!("{message}; {}", waiting::too_long(secs));
            Report::refused(Exit::Failed, Refusal::new(reason, message))
        }
    };
    Ok(finished(swap, report))
}

fn taken_back(swap: Swap<'_>, failure: &Failed, undone: Result<()>) -> Report {
    let short = swap.transaction.from.short().to_owned();
    let said = format!("{}: {}", failure.step, failure.why);
    let mut report = match undone {
        Err(also) => {
            let message = format!(
                "{said}; and the way back failed: {also:#}; the journal stays open, and the next run tries the way back again"
            );
            let refusal = Refusal::new("way-back-failed", message)
                .hint("docker compose ps; docker compose logs app");
            let mut report = Report::refused(Exit::Degraded, refusal);
            report.outcome = Outcome::Degraded;
            report
        }
        Ok(()) => {
            let left = match swap.transaction.phase {
                Phase::Undoing => format!("{short} is back and has passed its gate"),
                _ => format!("{short} was never stopped"),
            };
            let refusal = Refusal::new(failure.reason, format!("{said}; {left}"));
            let mut report = Report::refused(Exit::Failed, refusal);
            // what could not begin was not rolled back
            let begun = swap.transaction.phase > Phase::Preparing || failure.bad;
            if begun {
                report.outcome = Outcome::RolledBack;
            }
            report
        }
    };
    report = report.detail("failed_step", failure.step);
    finished(swap, report)
}

/// The report with what every swap tells.
pub fn finished(swap: Swap<'_>, mut report: Report) -> Report {
    let transaction = &swap.transaction;
    let image = |release: &Release| json!({"digest": release.digest, "tag": transaction.tag});
    let ledger = Ledger::read(swap.deployment.host, swap.deployment.settings).unwrap_or_default();
    for (key, value) in [
        ("id", json!(transaction.id)),
        ("from", image(&transaction.from)),
        ("to", image(&transaction.to)),
        ("held_ms", json!(transaction.held_ms)),
        ("migrates", json!(transaction.migrates)),
        ("ledger", json!(ledger.bad)),
    ] {
        report.details.insert(key.to_owned(), value);
    }
    let ended = swap
        .deployment
        .host
        .now()
        .format(&Rfc3339)
        .unwrap_or_default();
    report.details.insert("ended_at".to_owned(), ended.into());
    report.steps = swap.steps.into_vec();
    report
        .details
        .insert("steps".to_owned(), json!(report.steps));
    report
}

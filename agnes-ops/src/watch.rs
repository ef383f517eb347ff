//! `watch`, by a timer every minute, and `alert`, which a failed unit starts: what is wrong becomes an alert, and is told.
//!
//! Always true: neither takes the deployment's lock, so neither waits for a run that is at work; exit 0 means that every finding was delivered or is
//! kept for the next look; while an upgrade or a restore of ours is at work nothing is judged.
//!
//! Does not: look deep (quick looks alone), or repair.

mod changes;
mod metrics;

use anyhow::Result;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::alerts::{self, Alert, Kept, Outbox};
use crate::deployment::Deployment;
use crate::doctor::{self, Depth, Finding, Patient};
use crate::host::{Held, Host};
use crate::outcome::{Outcome, Report};
use crate::{disk, state_file, systemd};

/// What `alert` raises; it goes when the unit's last run is a good one.
const UNIT_FAILED: &str = "units.failed";
/// After so long without a look a finding is over.
const FORGOTTEN: Duration = Duration::hours(24);
/// Runs during which parts of the deployment are away on purpose.
const AT_WORK: [&str; 4] = ["upgrade", "snapshot restore", "boot", "tls rotate"];

/// Keeps what was found and what is another since the last look, tells it, and leaves metrics.
///
/// # Errors
/// When a finding cannot be kept.
pub fn watch(deployment: Deployment<'_>, patient: &Patient<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    // what is written now would be on the boot disk, in the way of the mount, and hidden by it (B02)
    let is_there = !matches!(disk::look(host, settings), disk::State::NotProven(_));
    let outbox = Outbox {
        deployment: settings.tls.domain.as_str(),
        dir: &settings.dir,
        state_dir: is_there.then_some(settings.state_dir.as_path()),
    };
    // two that look at once would tell everything twice
    let lock = settings.dir.join(".watch.lock");
    let _alone = match host.lock(&lock, "watch") {
        Ok(alone) => Some(alone),
        Err(Held::By(_)) => {
            return Ok(Report::ok(Outcome::Unchanged, "another look is at work"));
        }
        // a look that cannot be alone is better than none
        Err(Held::Unusable(_)) => None,
    };
    let holder = host.lock_holder(&settings.dir.join(".lock")).ok().flatten();
    let is_quiet = |holder: &String| AT_WORK.iter().any(|name| holder.contains(name));
    if let Some(holder) = holder.clone().filter(is_quiet) {
        // what waits from before is told all the same
        let delivery = alerts::deliver(host, settings, &outbox);
        leave_metrics(deployment, &outbox, &[], delivery.waiting.len());
        return Ok(told(
            format!("{holder} is at work: nothing is judged"),
            &[],
            0,
            &delivery,
        ));
    }
    // a command that is at work leaves its record when it ends: what it changes is looked at then, and known as its own
    let is_there = is_there && settings.state_dir.is_dir();
    let changes = match (is_there, &holder) {
        (true, None) => changes::note(host, settings, &outbox, doctor::vitals(patient)),
        _ => Ok(Vec::new()),
    };
    // a disk that takes nothing is what this look is to find
    let changes = changes.unwrap_or_else(|why| {
        tracing::warn!("what is another since the last look is not kept: {why:#}");
        Vec::new()
    });
    let diagnosis = doctor::examine(patient, Depth::Quick, &[]);
    let found: Vec<Alert> = diagnosis.findings.iter().map(as_alert).collect();
    for alert in &found {
        alerts::raise(host, &outbox, alert)?;
    }
    // what was not looked at is neither there nor gone, until it was not for so long that nobody has it any more
    let now = host.now();
    let is_judged = |kept: &Kept| {
        let unchecked = diagnosis
            .unchecked
            .iter()
            .any(|one| one.id == kept.alert.id);
        let last = OffsetDateTime::parse(&kept.last_at, &Rfc3339).ok();
        let forgotten = last.is_none_or(|last| now - last > FORGOTTEN);
        forgotten || !unchecked && (kept.alert.id != UNIT_FAILED || systemd::is_running())
    };
    let gone = alerts::resolve(host, &outbox, &found, is_judged)?;
    let mut delivery = alerts::deliver(host, settings, &outbox);
    // what could not be looked at now is not over
    let is_found = |kept: &Kept| {
        let mut found = found.iter();
        found.any(|alert| alert.id == kept.alert.id && alert.object == kept.alert.object)
    };
    let mut unseen = alerts::open(host, &outbox);
    unseen.retain(|kept| !is_found(kept));
    if let Some(url) = &settings.alerts.heartbeat
        && found.is_empty()
        && unseen.is_empty()
        && delivery.waiting.is_empty()
        && let Err(why) = alerts::heartbeat(url)
    {
        delivery.waiting.push(format!("heartbeat: {why}"));
    }
    leave_metrics(deployment, &outbox, &found, delivery.waiting.len());
    let text = in_words(&found, &unseen, &changes);
    Ok(told(text, &found, gone, &delivery)
        .detail("changes", json!(changes))
        .detail("passed", json!(diagnosis.passed))
        .detail("unchecked", json!(diagnosis.unchecked)))
}

/// What the look came to, for people.
fn in_words(found: &[Alert], unseen: &[Kept], changes: &[Alert]) -> String {
    let mut lines: Vec<String> = found
        .iter()
        .map(|alert| format!("{}: {} {}", alert.id, alert.object, alert.evidence))
        .collect();
    lines.extend(unseen.iter().map(|kept| {
        let Alert { id, object, .. } = &kept.alert;
        format!(
            "{id}: {object} still open since {}, not looked at now",
            kept.first_at
        )
    }));
    if lines.is_empty() {
        lines.push("nothing is wrong".to_owned());
    }
    lines.extend(
        changes
            .iter()
            .map(|change| format!("{}: {}", change.id, change.evidence)),
    );
    lines.join("\n")
}

fn leave_metrics(deployment: Deployment<'_>, outbox: &Outbox<'_>, found: &[Alert], waiting: usize) {
    let Some(state_dir) = outbox.state_dir.filter(|state_dir| state_dir.is_dir()) else {
        return;
    };
    let page = metrics::page(deployment, found, waiting);
    let file = state_dir.join(metrics::FILE);
    if let Err(why) = state_file::write_text(deployment.host, &file, &page) {
        tracing::warn!("{}: {why:#}", file.display());
    }
}

fn told(text: String, found: &[Alert], gone: usize, delivery: &alerts::Delivery) -> Report {
    let mut lines = vec![text];
    if gone > 0 {
        lines.push(format!("{gone} gone since the last look"));
    }
    for why in &delivery.waiting {
        tracing::warn!("not told yet: {why}");
        lines.push(format!("not told yet: {why}"));
    }
    Report::ok(Outcome::Unchanged, lines.join("\n"))
        .detail("findings", json!(found))
        .detail("resolved", gone)
        .detail("delivered", delivery.delivered)
        .detail("waiting", json!(delivery.waiting))
}

/// A consequence is told too, with its cause: it may outlive it.
fn as_alert(finding: &Finding) -> Alert {
    let because = finding
        .because
        .map(|cause| format!(" (because of {cause})"));
    Alert {
        id: finding.id.to_owned(),
        object: finding.object.clone(),
        severity: finding.severity.as_str().to_owned(),
        evidence: format!("{}{}", finding.evidence, because.unwrap_or_default()),
        next: finding.next.clone(),
        runbook: finding.runbook.clone(),
    }
}

/// A unit failed, and systemd started us for it; settings that are broken may be the reason.
///
/// # Errors
/// When that cannot be kept.
pub fn alert(host: &Host, outbox: &Outbox<'_>, unit: &str) -> Result<Report> {
    let evidence = match systemd::show(host, unit, &["Result", "ExecMainStatus"]) {
        Ok(shown) => {
            let of = |name: &str| shown.get(name).cloned().unwrap_or_default();
            format!(
                "its last run failed: {}, exit {}",
                of("Result"),
                of("ExecMainStatus")
            )
        }
        Err(unseen) => format!("its last run failed; {unseen}"),
    };
    let alert = Alert {
        id: UNIT_FAILED.to_owned(),
        object: unit.to_owned(),
        severity: "warning".to_owned(),
        evidence,
        next: format!("journalctl -u {unit}"),
        runbook: "docs/operations.md#timers".to_owned(),
    };
    let kept = alerts::raise(host, outbox, &alert)?;
    tracing::error!("{unit}: {}", alert.evidence);
    let text = format!(
        "{unit}: {}; told {} times since {}",
        alert.evidence, kept.times, kept.first_at
    );
    Ok(Report::ok(Outcome::Unchanged, text).detail("alert", json!(kept)))
}

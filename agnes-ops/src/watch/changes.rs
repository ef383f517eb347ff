//! What is another than at the last look: told once, and kept until it is.
//!
//! Always true: it is in the outbox before the look that showed it is kept, so a run that is cut off tells it at the next one; what
//! one of our commands did is told as that.
//!
//! Does not: judge whether it was meant.

use agnes_config::Settings;
use anyhow::Result;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::alerts::{self, Alert, Outbox};
use crate::host::Host;
use crate::vitals::{self, Change, Vitals};

/// Of a process that was started anew.
const RESTARTS: &str = "changed.restarts";

/// Keeps this look, and what is another since the one before it in the outbox.
///
/// # Errors
/// When they cannot be kept.
pub(super) fn note(
    host: &Host,
    settings: &Settings,
    outbox: &Outbox<'_>,
    now: Vitals,
) -> Result<Vec<Alert>> {
    let before = match vitals::read(host, settings) {
        Ok(before) => before,
        // one that is not understood is no reason to look at nothing for ever
        Err(why) => {
            tracing::warn!("{why:#}; it is begun anew");
            None
        }
    };
    let mut told = Vec::new();
    if let Some(before) = &before {
        let by = ours_since(host, settings, &before.last.at);
        let host_is_new =
            moment(&before.last.at).is_some_and(|at| at.unix_timestamp() < now.host_started_at);
        for change in vitals::changes(&before.last, &now) {
            if let Some(alert) = as_alert(settings, &change, &by, host_is_new) {
                alerts::tell_once(host, outbox, &alert)?;
                told.push(alert);
            }
        }
    }
    let restarts = told.iter().filter(|alert| alert.id == RESTARTS).count() as u64;
    vitals::keep(host, settings, before, now, restarts)?;
    Ok(told)
}

/// `None`: it is expected.
fn as_alert(
    settings: &Settings,
    change: &Change,
    by: &[String],
    host_is_new: bool,
) -> Option<Alert> {
    let restarts = change.id == RESTARTS;
    // a command of ours, or a host that was started, starts processes anew
    if restarts && (host_is_new || !by.is_empty()) {
        return None;
    }
    let (severity, who) = match by {
        [] => ("warning", "none of our commands did it".to_owned()),
        by => ("info", format!("by agnes-ops {}", by.join(", "))),
    };
    let dir = settings.dir.display();
    let (next, runbook) = match restarts {
        true => (
            format!("agnes-ops -C {dir} doctor says whether it is well; its log says why it ended"),
            "database-down",
        ),
        false => (
            format!("agnes-ops -C {dir} upgrade history"),
            "upgrade-by-hand",
        ),
    };
    Some(Alert {
        id: change.id.to_owned(),
        object: change.object.clone(),
        severity: severity.to_owned(),
        evidence: format!("{}; {who}", change.evidence),
        next,
        runbook: format!("docs/operations.md#{runbook}"),
    })
}

/// Our commands that changed something and ended since then.
fn ours_since(host: &Host, settings: &Settings, since: &str) -> Vec<String> {
    let Some(since) = moment(since) else {
        return Vec::new();
    };
    let directory = settings.state_dir.join("ops/status");
    let mut ours = Vec::new();
    for name in host.list(&directory).unwrap_or_default() {
        let record = host.read(&directory.join(&name)).ok().flatten();
        let record = record.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(record) = record else { continue };
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
        let acted = matches!(text("outcome"), "changed" | "rolled-back" | "degraded");
        if acted && moment(text("at")).is_some_and(|at| at >= since) {
            ours.push(text("command").to_owned());
        }
    }
    ours
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

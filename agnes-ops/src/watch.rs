//! `watch`, by a timer every minute, and `alert`, which a failed unit starts: what is wrong becomes an alert.
//!
//! Always true: neither takes the deployment's lock, so neither waits for a run that is at work; exit 0 means that every finding is kept.
//!
//! Does not: look deep (quick looks alone), repair, or deliver.

use agnes_config::Settings;
use anyhow::Result;
use serde_json::json;

use crate::alerts::{self, Alert, Outbox};
use crate::host::Host;
use crate::outcome::{Outcome, Report};
use crate::{systemd, units};

/// The kind that `alert` raises; it goes when the unit's last run is a good one.
const UNIT_FAILED: &str = "unit.failed";

/// Looks, and keeps what it finds; `seen` is what `status` found.
///
/// # Errors
/// When units cannot be looked at, or a finding cannot be kept.
pub fn watch(host: &Host, settings: &Settings, seen: Vec<Alert>) -> Result<Report> {
    let mut found = seen;
    for finding in units::findings(host, settings)? {
        let id = match finding.id {
            "units.failed" => UNIT_FAILED,
            other => other,
        };
        found.push(Alert {
            id: id.to_owned(),
            object: finding.unit,
            evidence: finding.evidence,
            next: finding.next,
        });
    }
    let outbox = Outbox {
        deployment: &settings.dir,
        state_dir: Some(&settings.state_dir),
    };
    for alert in &found {
        alerts::raise(host, &outbox, alert)?;
    }
    // what only the alert unit knows of stays until it can be judged
    let judged = |alert: &Alert| alert.id != UNIT_FAILED || systemd::is_running();
    let gone = alerts::resolve(host, &settings.state_dir, &found, judged)?;
    let mut lines: Vec<String> = found
        .iter()
        .map(|alert| format!("{}: {} {}", alert.id, alert.object, alert.evidence))
        .collect();
    if lines.is_empty() {
        lines.push("nothing is wrong".to_owned());
    }
    if gone > 0 {
        lines.push(format!("{gone} gone since the last look"));
    }
    Ok(Report::ok(Outcome::Unchanged, lines.join("\n"))
        .detail("findings", json!(found))
        .detail("resolved", gone))
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
        evidence,
        next: format!("journalctl -u {unit}"),
    };
    let kept = alerts::raise(host, outbox, &alert)?;
    tracing::error!("{unit}: {}", alert.evidence);
    let text = format!(
        "{unit}: {}; told {} times since {}",
        alert.evidence, kept.times, kept.first_at
    );
    Ok(Report::ok(Outcome::Unchanged, text).detail("alert", json!(kept)))
}

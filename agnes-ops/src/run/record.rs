//! What each command last did, and what it wants to remember: `$STATE_DIR/ops/status/<command>.json`.
//!
//! Always true: written by every command that changes the host, whatever came of it; a deferred run covers up nothing.
//!
//! Does not: know what the memory means.

use std::path::Path;

use agnes_config::Settings;
use serde_json::Value;

use crate::disk;
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Report};
use crate::units::Root;

/// Where records are while the data disk is not there.
const WITHOUT_DISK: &str = "run/agnes/status";

/// The last record of a command.
pub(super) fn last_record(host: &Host, settings: &Settings, slug: &str) -> Option<Value> {
    let bytes = host
        .read(&settings.state_dir.join(format!("ops/status/{slug}.json")))
        .ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Writes it.
///
/// # Errors
/// When the host refuses.
pub(super) fn record(
    host: &Host,
    settings: &Settings,
    root: Option<&Path>,
    name: &str,
    report: &Report,
    took_ms: u64,
) -> anyhow::Result<()> {
    // a record below a mount point would be hidden once the disk is back
    let directory = match disk::look(host, settings) {
        disk::State::NotProven(_) => Root::new(root).path(WITHOUT_DISK),
        disk::State::NotDeclared | disk::State::Proven => settings.state_dir.join("ops/status"),
    };
    host.make_dir(&directory)?;
    host.sweep(&directory)?;
    let slug = name.replace(' ', "-");
    // a run that was deferred must not cover up what the run it gave way to is about to write
    let file = if report.exit == Exit::Deferred {
        format!("{slug}.deferred.json")
    } else {
        format!("{slug}.json")
    };
    let mut record = report.to_json(name, took_ms);
    if let Value::Object(fields) = &mut record {
        let now = host
            .now()
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap_or_default();
        // since when nothing went well, or nothing happened, is known also of a run that failed
        let last = last_record(host, settings, &slug);
        let last = |key: &str| last.as_ref()?.get(key).cloned();
        let went_well = matches!(report.exit, Exit::Ok | Exit::Drift);
        let changed = report.outcome == Outcome::Changed;
        for (key, is_now) in [("last_success_at", went_well), ("last_effect_at", changed)] {
            let at = if is_now {
                Some(now.clone().into())
            } else {
                last(key)
            };
            if let Some(at) = at {
                fields.insert(key.into(), at);
            }
        }
        fields.insert("at".into(), now.into());
        // a run that failed early knows nothing; what the run before it knew still holds
        let kept = || last_record(host, settings, &slug)?.get("memory").cloned();
        if let Some(memory) = report.memory.clone().or_else(kept) {
            fields.insert("memory".into(), memory);
        }
    }
    host.install(
        &directory.join(file),
        &serde_json::to_vec_pretty(&record)?,
        0o644,
        None,
    )?;
    Ok(())
}

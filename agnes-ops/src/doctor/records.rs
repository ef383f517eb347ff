//! What commands last came to, as their records say.
//!
//! Always true: a run that only gave way is no failure.
//!
//! Does not: judge whether they ran at all (`units::effect` does).

use serde_json::Value;

use super::{Patient, Seen};

/// Whether the last run of a command failed.
pub(super) fn failed(patient: &Patient<'_>, slug: &str, command: &str) -> Seen {
    let settings = patient.settings();
    let Some(record) = patient.record(settings, slug) else {
        return Seen::Unchecked(format!("{command} has not run here"));
    };
    if !matches!(record.get("exit").and_then(Value::as_u64), Some(1 | 100)) {
        return Seen::Passed;
    }
    let detail = |key: &str| {
        let text = record
            .get("details")
            .and_then(|details| details.get(key)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    let at = record
        .get("at")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let next = match detail("hint") {
        hint if hint.is_empty() => format!(
            "mend what it names, then agnes-ops -C {} {command}",
            settings.dir.display()
        ),
        hint => hint,
    };
    let evidence = format!("at {at}: {}: {}", detail("reason"), detail("message"));
    Seen::found(command, evidence, next)
}

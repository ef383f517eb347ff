//! Secrets, as `secrets check` finds them.
//!
//! Always true: no value is repeated; ids are the same as there.
//!
//! Does not: look itself.

use serde_json::Value;

use super::{Found, Patient, Seen};

/// The findings of one id.
pub(super) fn of(patient: &Patient<'_>, id: &str) -> Seen {
    let deployment = patient.deployment();
    let settings = deployment.settings;
    // a deployment that looks after certificates alone has no server to have secrets for
    if !settings.state_dir.join("secrets").exists() && !is_expected(patient) {
        return Seen::Unchecked("no secret was ever made here".to_owned());
    }
    let report = match patient.secrets(deployment) {
        Ok(report) => report,
        Err(why) => return Seen::Unchecked(why.clone()),
    };
    let listed = |key: &str| {
        let all = report.details.get(key).and_then(Value::as_array);
        all.into_iter()
            .flatten()
            .filter(|one| one.get("id").and_then(Value::as_str) == Some(id))
    };
    let text = |one: &Value, key: &str| {
        let text = one.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let found: Vec<Found> = listed("findings")
        .map(|one| Found {
            object: text(one, "name"),
            evidence: text(one, "evidence"),
            next: match text(one, "next").strip_prefix("agnes-ops ") {
                Some(verb) => format!("agnes-ops -C {} {verb}", settings.dir.display()),
                None => text(one, "next"),
            },
        })
        .collect();
    match listed("unchecked").next() {
        Some(one) if found.is_empty() => Seen::Unchecked(text(one, "why")),
        _ => Seen::of(found),
    }
}

/// Where a server of ours should run, there should be secrets.
fn is_expected(patient: &Patient<'_>) -> bool {
    let settings = patient.settings();
    patient.has_stack(settings) || settings.state_dir.join("system.duckdb").exists()
}

//! Certificates: on disk, as they are served, and at their source.
//!
//! Always true: agrees with `tls check`; where nothing is to be served, or the proof is off, that is said and is no finding.
//!
//! Does not: rotate or reload.

use agnes_config::Runtime;
use serde_json::Value;

use super::{Found, Patient, Seen, server};
use crate::deployment::Deployment;
use crate::tls;

/// How `tls check` words it.
const EXPIRED: &str = ": expired";

/// The findings that `tls check` gives this id.
pub(super) fn of(patient: &Patient<'_>, id: &str) -> Seen {
    let deployment = patient.deployment();
    if !is_wanted(deployment) {
        return Seen::Unchecked("no certificate of ours is to be served".to_owned());
    }
    // a rotation swaps and proves: what is seen in between is neither
    let moves = [
        "interrupted",
        "nothing-listens",
        "reload-pending",
        "pair-broken",
    ]
    .contains(&id);
    if moves && server::is_at_work(patient, deployment.settings) {
        return Seen::Unchecked("another run is at work".to_owned());
    }
    let survey = patient.tls(deployment);
    let found: Vec<Found> = survey
        .findings
        .iter()
        .filter(|finding| finding.id == id)
        // one that has expired is told as that, and not as one of another name
        .filter(|finding| id != "not-desired" || !finding.message.contains(EXPIRED))
        .map(|finding| Found {
            object: String::new(),
            evidence: finding.message.clone(),
            next: next(deployment, id),
        })
        .collect();
    let is_off = survey.details.get("proof").and_then(Value::as_str) == Some("off");
    if found.is_empty() && is_off && ["nothing-listens", "reload-pending"].contains(&id) {
        return Seen::Unchecked("TLS_SERVED_ADDRESS is none".to_owned());
    }
    Seen::of(found)
}

/// Asks the source, as a rotation would.
pub(super) fn source(patient: &Patient<'_>) -> Seen {
    let deployment = patient.deployment();
    let Some(url) = &deployment.settings.tls.fullchain_url else {
        return Seen::Unchecked("TLS_FULLCHAIN_URL is not set".to_owned());
    };
    let memory = patient.record(deployment.settings, "tls-rotate");
    let memory = memory.as_ref().and_then(|record| record.get("memory"));
    let report = match tls::check(deployment, memory) {
        Ok(report) => report,
        Err(why) => return Seen::Unchecked(format!("{why:#}")),
    };
    let findings = report.details.get("findings").and_then(Value::as_array);
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    let found = findings.into_iter().flatten().filter_map(|one| {
        let id = text(one, "id")?;
        Some(Found {
            object: url.to_string(),
            evidence: format!("{}: {}", id.strip_prefix("source-")?, text(one, "message")?),
            next: format!(
                "see what the source says: agnes-ops -C {} fetch {url}",
                deployment.settings.dir.display()
            ),
        })
    });
    // all reasons of one refusal are one finding
    Seen::of(found.take(1).collect())
}

fn is_wanted(deployment: Deployment<'_>) -> bool {
    let settings = deployment.settings;
    let is_there = settings.state_dir.join("certs/current").exists();
    tls::is_wanted(settings) || settings.tls.fullchain_url.is_some() || is_there
}

fn next(deployment: Deployment<'_>, id: &str) -> String {
    let settings = deployment.settings;
    let dir = settings.dir.display();
    let has_source = settings.tls.fullchain_url.is_some();
    match id {
        "reload-pending" => format!("agnes-ops -C {dir} tls reload"),
        "nothing-listens" => match settings.runtime {
            Runtime::Process => format!("agnes-ops -C {dir} up"),
            Runtime::Compose => {
                format!("docker compose --project-directory {dir} up --detach caddy")
            }
        },
        "key-readable" => format!(
            "chmod 600 {}",
            settings.state_dir.join("certs/privkey.pem").display()
        ),
        "expiring" | "not-desired" => format!(
            "have {} signed by the CA, and publish the chain",
            settings.state_dir.join("certs/cert.csr").display()
        ),
        "unusable" => {
            "look at the file that is named; a key that does not parse signs nothing".to_owned()
        }
        "unreadable" => "look at the file that is named".to_owned(),
        _ if has_source || settings.runtime == Runtime::Compose => {
            format!("agnes-ops -C {dir} tls rotate")
        }
        _ => format!("agnes-ops -C {dir} up"),
    }
}

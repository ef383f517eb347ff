//! `status`: one screen with the truth, and one next step.
//!
//! Always true: everything on it was looked at now, except what says when it was recorded; it asks no source and
//! changes nothing; exit 10 when there is a finding.
//!
//! Does not: repair.

mod server;

use agnes_config::{Runtime, Settings};
use anyhow::Result;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Report};
use crate::tls::{self, Finding, Survey};

/// Looks at the deployment.
///
/// # Errors
/// When something cannot be read.
pub fn status(deployment: Deployment<'_>, last_rotation: Option<&Value>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let mut survey = tls::survey(deployment);
    let service = server::look(host, settings, &mut survey.findings)?;
    let failed = last_failure(last_rotation);
    if let Some((reason, message, _)) = failed {
        let message = format!("{reason}: {message}");
        survey.findings.push(Finding {
            id: "last-rotation-failed".into(),
            message,
        });
    }
    let hint = failed.and_then(|(.., hint)| hint);
    let next = next_step(settings, &survey, hint);
    let mut lines = vec![
        row(
            "deployment",
            &format!(
                "{} at {}",
                settings.tls.domain.as_str(),
                settings.dir.display()
            ),
        ),
        row("service", &service),
        row("certificate", &survey.sentence),
        row("source", &source(settings, last_rotation)),
    ];
    if let Some(at) = field(last_rotation, "at") {
        lines.push(row(
            "last rotation",
            &format!(
                "{} at {at}",
                field(last_rotation, "outcome").unwrap_or("unknown")
            ),
        ));
    }
    for finding in &survey.findings {
        lines.push(row(
            "finding",
            &format!("{}: {}", finding.id, finding.message),
        ));
    }
    lines.push(row("next", &next));
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"));
    report.exit = if survey.findings.is_empty() {
        Exit::Ok
    } else {
        Exit::Drift
    };
    report.details = survey.details;
    report
        .details
        .insert("findings".into(), Finding::to_json(&survey.findings));
    report.details.insert("next".into(), next.into());
    report
        .details
        .insert("runtime".into(), json!(runtime(settings)));
    report.details.insert("service".into(), service.into());
    Ok(report)
}

fn source(settings: &Settings, last_rotation: Option<&Value>) -> String {
    let Some(url) = &settings.tls.fullchain_url else {
        return "TLS_FULLCHAIN_URL is not set: nothing is fetched".into();
    };
    let fetch = last_rotation
        .and_then(|record| record.get("details"))
        .and_then(|details| details.get("fetch"));
    match fetch
        .and_then(|fetch| fetch.get("reason"))
        .and_then(Value::as_str)
    {
        Some(reason) => format!("{url}: {reason}"),
        None => url.to_string(),
    }
}

/// Reason, message and hint of the last rotation, when it failed.
fn last_failure(record: Option<&Value>) -> Option<(&str, &str, Option<&str>)> {
    let record = record?;
    if !matches!(record.get("exit").and_then(Value::as_u64), Some(1 | 100)) {
        return None;
    }
    let detail = |key: &str| record.get("details")?.get(key)?.as_str();
    Some((detail("reason")?, detail("message")?, detail("hint")))
}

/// The one safe thing to do now.
fn next_step(settings: &Settings, survey: &Survey, hint: Option<&str>) -> String {
    let found = |id: &str| survey.findings.iter().any(|finding| finding.id == id);
    let dir = settings.dir.display();
    if let Some(next) = server::next_step(settings, &found) {
        return next;
    }
    if found("interrupted") || found("pair-broken") || found("no-certificate") || found("layout") {
        match (settings.tls.fullchain_url.is_some(), settings.runtime) {
            (true, _) => format!("agnes-ops -C {dir} tls rotate"),
            (false, Runtime::Process) => format!("agnes-ops -C {dir} up"),
            (false, Runtime::Compose) => {
                format!("set TLS_FULLCHAIN_URL in {dir}/.env, then agnes-ops -C {dir} tls rotate")
            }
        }
    } else if found("reload-pending") {
        format!("agnes-ops -C {dir} tls reload")
    } else if found("nothing-listens") {
        "start the proxy; nothing listens where the certificate should be served".into()
    } else if found("key-readable") {
        format!(
            "chmod 600 {}",
            settings.state_dir.join("certs/privkey.pem").display()
        )
    } else if found("last-rotation-failed") {
        hint.map_or_else(
            || format!("mend what the finding names, then agnes-ops -C {dir} tls rotate"),
            str::to_owned,
        )
    } else if survey.bridge && settings.tls.fullchain_url.is_none() {
        format!(
            "submit {} to your CA, then set TLS_FULLCHAIN_URL in {}",
            settings.state_dir.join("certs/cert.csr").display(),
            settings.dir.join(".env").display()
        )
    } else if survey.bridge {
        "wait for the CA; agnes-ops tls rotate installs its certificate when it is published".into()
    } else if found("expiring") {
        format!(
            "ask the CA for a new certificate over {}",
            settings.state_dir.join("certs/cert.csr").display()
        )
    } else {
        "nothing".into()
    }
}

fn runtime(settings: &Settings) -> &'static str {
    match settings.runtime {
        Runtime::Compose => "compose",
        Runtime::Process => "process",
    }
}

fn row(label: &str, text: &str) -> String {
    format!("{label:<13} {text}")
}

fn field<'a>(record: Option<&'a Value>, key: &str) -> Option<&'a str> {
    record?.get(key)?.as_str()
}

//! `status`: one screen with the truth, and one next step.
//!
//! Always true: everything on it was looked at now, except what says when it was recorded; it asks no source and changes nothing; what cannot be
//! seen is said, and keeps nothing else from being shown; exit 10 when there is a finding.
//!
//! Does not: repair, or judge (that is `doctor`).

mod rows;

use anyhow::Result;
use serde_json::{Value, json};

use self::rows::Row;
use crate::deployment::Deployment;
use crate::doctor::{Diagnosis, Finding, Severity};
use crate::outcome::{Exit, Outcome, Report};
use crate::tls;

/// Whether the screen has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// A terminal's.
    On,
    /// None, as in a pipe.
    Off,
}

/// Looks at the deployment; `diagnosis` is a quick one.
///
/// # Errors
/// When something cannot be read.
pub fn status(deployment: Deployment<'_>, diagnosis: &Diagnosis, colour: Colour) -> Result<Report> {
    let survey = tls::survey(deployment);
    let mut rows = vec![Row::new("deployment", rows::deployment(deployment))];
    let mut details = survey.details.clone();
    for (label, key, fact) in rows::all(deployment, &survey) {
        rows.push(Row::new(label, fact.text));
        details.insert(key.to_owned(), fact.json);
    }
    let mut lines: Vec<String> = rows.iter().map(|row| row.told(colour)).collect();
    for finding in &diagnosis.findings {
        lines.push(told(finding, colour));
    }
    let next = next_step(diagnosis, &survey);
    lines.push(Row::new("next", next.clone()).told(colour));
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"));
    if !diagnosis.findings.is_empty() {
        report.exit = Exit::Drift;
    }
    report.details = details;
    for (key, value) in [
        ("findings", json!(diagnosis.findings)),
        ("next", Value::from(next)),
        ("runtime", rows::runtime(deployment.settings).into()),
    ] {
        report.details.insert(key.to_owned(), value);
    }
    Ok(report)
}

/// A finding, set in under its cause.
fn told(finding: &Finding, colour: Colour) -> String {
    let mark = match (finding.severity, colour) {
        (_, Colour::Off) => "",
        (Severity::Critical, Colour::On) => "\u{1b}[31m",
        (Severity::Warning, Colour::On) => "\u{1b}[33m",
    };
    let end = if mark.is_empty() { "" } else { "\u{1b}[0m" };
    let label = match finding.because {
        None => "finding",
        Some(_) => "",
    };
    let object = match finding.object.is_empty() {
        true => String::new(),
        false => format!("{}: ", finding.object),
    };
    format!(
        "{label:<13} {mark}{}{end}: {object}{}",
        finding.id, finding.evidence
    )
}

/// The one safe thing to do now: the first cause's.
fn next_step(diagnosis: &Diagnosis, survey: &tls::Survey) -> String {
    if let Some(first) = diagnosis.findings.first() {
        return first.next.clone();
    }
    survey.waits.clone().unwrap_or_else(|| "nothing".to_owned())
}

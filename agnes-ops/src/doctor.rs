//! `doctor`: does the real thing with every part, and says of what is wrong what it comes from and what to do.
//!
//! Always true: changes nothing unless asked to mend; what was not looked at is said, with the reason; a consequence stands under its cause, and
//! the first finding is a cause.
//!
//! Does not: know how to mend what a person has to decide.

mod alerts;
mod catalogue;
mod config;
mod disks;
mod files;
mod mend;
mod network;
mod order;
mod patient;
mod records;
mod secrets;
mod server;
mod snapshots;
mod stack;
mod tls;
mod units;
mod vitals;

use std::path::Path;

use agnes_config::Loaded;
use serde::Serialize;
use serde_json::json;

pub use self::catalogue::{CHECKS, known};
pub use self::files::to_mend as directories_to_mend;
pub use self::mend::Hands;
pub use self::patient::{Options as PatientOptions, Patient};
pub use self::vitals::vitals;
use crate::outcome::{Exit, Outcome, Refusal, Report};

/// The check that comes before all others.
const VALID: &str = "config.valid";

/// How deep a look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// In a second, on this host alone: as `watch` looks every minute.
    Quick,
    /// The real thing: sources, registry, copies.
    Deep,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody's calls fail, or data is at risk.
    Critical,
    /// It will be, if nobody does anything.
    Warning,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is looked at.
pub struct Check {
    /// Stable.
    pub id: &'static str,
    /// From which depth on it is looked at.
    pub depth: Depth,
    /// How bad a finding is.
    pub severity: Severity,
    /// What a finding means for those who use the deployment.
    pub impact: &'static str,
    /// The section of docs/operations.md.
    pub runbook: &'static str,
    /// What explains a finding, the most telling first; one that ends in a dot stands for all that begin so.
    pub causes: &'static [&'static str],
    /// The look itself.
    pub look: fn(&Patient<'_>) -> Seen,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is as it should be.
    Passed,
    /// It is not.
    Found(Vec<Found>),
    /// It was not looked at, and why.
    Unchecked(String),
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is about: a file, a service, an address; may be empty.
    pub object: String,
    /// What was seen.
    pub evidence: String,
    /// What to do: a command, or a sentence.
    pub next: String,
}

impl Seen {
    /// One finding.
    fn found(
        object: impl Into<String>,
        evidence: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::Found(vec![Found {
            object: object.into(),
            evidence: evidence.into(),
            next: next.into(),
        }])
    }

    /// These findings; none: it passed.
    fn of(found: Vec<Found>) -> Self {
        match found.is_empty() {
            true => Self::Passed,
            false => Self::Found(found),
        }
    }
}

/// A finding, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of the check.
    pub id: &'static str,
    /// What it is about; may be empty.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What it means.
    pub impact: &'static str,
    /// What to do.
    pub next: String,
    /// Where that is explained.
    pub runbook: String,
    /// The finding that it comes from; absent: it is a cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'static str>,
}

/// What was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// Of the check.
    pub id: &'static str,
    /// Why not.
    pub why: String,
}

/// All that a visit came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Causes first, each with what comes from it behind it.
    pub findings: Vec<Finding>,
    /// Ids.
    pub passed: Vec<&'static str>,
    /// With reasons.
    pub unchecked: Vec<Unchecked>,
}

/// Looks at everything to this depth; `ids` names checks, or the first part of their names; none: all.
pub fn examine(patient: &Patient<'_>, depth: Depth, ids: &[String]) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let mut found = Vec::new();
    for check in CHECKS {
        if !ids.is_empty() && !ids.iter().any(|id| catalogue::is_named(check.id, id)) {
            continue;
        }
        if check.depth > depth && ids.is_empty() {
            continue;
        }
        match (check.look)(patient) {
            Seen::Passed => diagnosis.passed.push(check.id),
            Seen::Unchecked(why) => diagnosis.unchecked.push(Unchecked { id: check.id, why }),
            Seen::Found(all) => found.push((check, all)),
        }
    }
    diagnosis.findings = order::ordered(found);
    diagnosis
}

/// What is known of a deployment whose settings are wrong: nothing else can be looked at.
pub fn of_wrong_settings(loaded: &Loaded, dir: &Path) -> Diagnosis {
    let (valid, others): (Vec<&Check>, Vec<&Check>) =
        CHECKS.iter().partition(|check| check.id == VALID);
    let found = valid
        .into_iter()
        .map(|check| (check, config::wrong(loaded, dir)));
    let unchecked = others.into_iter().map(|check| Unchecked {
        id: check.id,
        why: "the settings are wrong".to_owned(),
    });
    Diagnosis {
        findings: order::ordered(found.collect()),
        passed: Vec::new(),
        unchecked: unchecked.collect(),
    }
}

/// `doctor` of a deployment whose settings are wrong.
pub fn refused(loaded: &Loaded, dir: &Path) -> Report {
    report(&of_wrong_settings(loaded, dir), &mend::Mended::default())
}

/// `doctor`.
pub fn doctor(patient: &Patient<'_>, ids: &[String], hands: Option<&Hands<'_>>) -> Report {
    if let Some(unknown) = ids.iter().find(|id| !known(id)) {
        let message = format!("{unknown}: there is no such check; nothing was looked at");
        let refusal = Refusal::new("no-such-check", message)
            .hint("agnes-ops doctor --json: details.passed, details.findings and details.unchecked name them");
        return Report::refused(Exit::Usage, refusal);
    }
    let mut diagnosis = examine(patient, Depth::Deep, ids);
    let mut mended = mend::Mended::default();
    if let Some(hands) = hands {
        mended = mend::mend(&diagnosis, hands);
        if mended.tried() {
            // what was seen before is of no use any more
            diagnosis = (hands.again)();
        }
    }
    report(&diagnosis, &mended)
}

fn report(diagnosis: &Diagnosis, mended: &mend::Mended) -> Report {
    let mut lines = mended.lines();
    for finding in &diagnosis.findings {
        lines.push(told(finding));
    }
    if diagnosis.findings.is_empty() {
        lines.push(format!(
            "nothing is wrong: {} looks",
            diagnosis.passed.len()
        ));
    }
    for one in &diagnosis.unchecked {
        lines.push(format!("not checked: {}: {}", one.id, one.why));
    }
    let outcome = match mended.changed() {
        true => Outcome::Changed,
        false => Outcome::Unchanged,
    };
    let mut report = Report::ok(outcome, lines.join("\n"))
        .detail("findings", json!(diagnosis.findings))
        .detail("passed", json!(diagnosis.passed))
        .detail("unchecked", json!(diagnosis.unchecked));
    report.steps.clone_from(&mended.steps);
    if !diagnosis.findings.is_empty() {
        report.exit = Exit::Drift;
    }
    if !mended.failed.is_empty() {
        report.exit = Exit::Failed;
        let message = format!("{}; the other remedies are done", mended.failed.join("; "));
        report.refusal = Some(Refusal::new("not-mended", message));
    }
    report
}

/// For people; a consequence is set in under its cause.
fn told(finding: &Finding) -> String {
    let object = match finding.object.is_empty() {
        true => String::new(),
        false => format!("{}: ", finding.object),
    };
    match finding.because {
        Some(cause) => format!(
            "    {}: {object}{} (because of {cause})",
            finding.id, finding.evidence
        ),
        None => format!(
            "{}: {object}{}\n    means: {}\n    next:  {}\n    more:  {}",
            finding.id, finding.evidence, finding.impact, finding.next, finding.runbook
        ),
    }
}

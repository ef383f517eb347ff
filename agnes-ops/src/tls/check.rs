//! `tls check`: desired against disk against served against source; writes nothing.
//!
//! Always true: it agrees with `rotate`: what `rotate` would leave alone with exit 0 is no finding here, except what a
//! person must know all the same (nothing listens, a bridge or certificate near its end, a key that others may read).
//!
//! Does not: reload or repair.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::generations::{Disk, Layout, Store};
use super::plan::{ChainSource, KeySource, Situation, alarm_threshold, plan};
use super::reload::{Convergence, Proof, observe};
use super::source::{Memory, Sources};
use super::{Deployment, report};
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Report};

/// One thing that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Stable id.
    pub id: String,
    /// For people.
    pub message: String,
}

/// What is on disk and served, without asking a source.
#[derive(Debug)]
pub struct Survey {
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// The contract's fields, but for `fetch`.
    pub details: Map<String, Value>,
    /// One line for people.
    pub sentence: String,
    /// A bridge is installed: the CA has not answered yet.
    pub bridge: bool,
    disk: Disk,
}

/// Looks at disk and proxy.
///
/// # Errors
/// When something cannot be read.
pub fn survey(deployment: Deployment<'_>) -> Result<Survey> {
    let Deployment { host, settings, .. } = deployment;
    let now = host.now();
    let store = Store::new(&settings.state_dir, settings.tls.file_owner);
    let disk = store.observe(host)?;
    let convergence = report::leaf_sha256(&disk).map(|leaf| observe(host, settings, &leaf));
    let mut findings = on_disk(&disk, &store);
    if Journal::new(&settings.state_dir, "tls-rotate")
        .read::<Value>(host)?
        .is_some()
    {
        add(
            &mut findings,
            "interrupted",
            "a rotation was interrupted; the next run finishes or undoes it",
        );
    }
    let leaf = report::sound(&disk);
    if let Some(leaf) = leaf.filter(|leaf| leaf.not_after - now < alarm_threshold(leaf)) {
        add(
            &mut findings,
            "expiring",
            format!(
                "the installed certificate has {} days left",
                leaf.days_left(now)
            ),
        );
    }
    served(&mut findings, convergence.as_ref());
    Ok(Survey {
        findings,
        details: report::details(deployment, &store, &disk, convergence.as_ref(), now),
        sentence: report::sentence(&disk, convergence.as_ref(), &Sources::not_asked(), now),
        bridge: leaf.is_some_and(super::certificate::Certificate::is_self_signed),
        disk,
    })
}

/// Compares, also with the sources, and reports findings with exit 10.
///
/// # Errors
/// When something cannot be read.
pub fn check(deployment: Deployment<'_>, memory: Option<&Value>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let memory = Memory::from_json(memory);
    let Survey {
        mut findings,
        mut details,
        sentence,
        disk,
        ..
    } = survey(deployment)?;
    let idle = settings.tls.fullchain_url.is_none();
    let mut sources = Sources::ask(deployment, &memory, &disk, idle);
    let identity = deployment.identity();
    let decided = plan(&Situation {
        identity: &identity,
        key_type: settings.tls.key_type,
        now: host.now(),
        disk: &disk,
        key: std::mem::replace(&mut sources.key, KeySource::Host),
        chain: std::mem::replace(&mut sources.chain, ChainSource::Nowhere),
        allow_older: false,
        ensure: false,
    });
    for line in decided.lines() {
        add(
            &mut findings,
            "rotation-due",
            format!("agnes-ops tls rotate would {line}"),
        );
    }
    if let Err(refusal) = &decided.verdict {
        for reason in &refusal.reasons {
            add(
                &mut findings,
                &format!("source-{reason}"),
                refusal.message.clone(),
            );
        }
    }
    let mut lines = vec![sentence];
    lines.extend(
        findings
            .iter()
            .map(|finding| format!("{}: {}", finding.id, finding.message)),
    );
    details.insert("fetch".into(), sources.to_json(&memory));
    details.insert("findings".into(), Finding::to_json(&findings));
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"));
    report.exit = if findings.is_empty() {
        Exit::Ok
    } else {
        Exit::Drift
    };
    report.details = details;
    Ok(report)
}

impl Finding {
    /// `details.findings`.
    pub fn to_json(findings: &[Finding]) -> Value {
        findings
            .iter()
            .map(|finding| json!({"id": finding.id, "message": finding.message}))
            .collect()
    }
}

fn on_disk(disk: &Disk, store: &Store) -> Vec<Finding> {
    let mut findings = Vec::new();
    let directory = store.directory().display();
    match &disk.pair {
        None => add(
            &mut findings,
            "no-certificate",
            format!("{directory}: there is no certificate"),
        ),
        Some(pair) => {
            if let Some(why) = pair.broken() {
                add(
                    &mut findings,
                    "pair-broken",
                    format!("{directory}: {why}; a server that restarts will not start"),
                );
            }
            if let Some(mode) = pair.key_mode.filter(|mode| mode & 0o077 != 0) {
                add(
                    &mut findings,
                    "key-readable",
                    format!("{directory}/privkey.pem: mode {mode:04o}, others may read it"),
                );
            }
        }
    }
    if matches!(disk.layout, Layout::RegularFiles | Layout::LinksMissing) {
        add(
            &mut findings,
            "layout",
            format!("{directory}: the documented paths are not links through current"),
        );
    }
    findings
}

fn served(findings: &mut Vec<Finding>, convergence: Option<&Convergence>) {
    let Some(seen) = convergence else { return };
    match seen.proof {
        Proof::Served | Proof::Off => {}
        Proof::NothingListens => add(findings, "nothing-listens", seen.seen.clone()),
        Proof::Failed => add(
            findings,
            "reload-pending",
            format!("the installed certificate is not served: {}", seen.seen),
        ),
    }
}

fn add(findings: &mut Vec<Finding>, id: &str, message: impl Into<String>) {
    findings.push(Finding {
        id: id.to_owned(),
        message: message.into(),
    });
}

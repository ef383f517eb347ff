//! `tls check`: desired against disk against served against source; writes nothing.
//!
//! Always true: it agrees with `rotate`: what `rotate` would leave alone with exit 0 is no finding here, except what a
//! person must know all the same (nothing listens, a bridge or certificate near its end, a key that others may read).
//!
//! Does not: reload or repair.

use agnes_config::Settings;
use anyhow::Result;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::chain::{Chain, Criteria};
use super::generations::{Disk, Layout, Pair, Store};
use super::plan::{alarm_threshold, plan};
use super::reload::{Convergence, Proof, observe};
use super::report;
use super::source::{Memory, Sources};
use crate::deployment::Deployment;
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
    /// What is waited for, although nothing is wrong: the CA's answer to the request.
    pub waits: Option<String>,
    /// `None`: it could not be read.
    disk: Option<Disk>,
}

/// Looks at disk and proxy. What cannot be read is a finding, not an end: the rest is still told.
pub fn survey(deployment: Deployment<'_>) -> Survey {
    let Deployment { host, settings, .. } = deployment;
    let now = host.now();
    let store = Store::new(&settings.state_dir, settings.tls.file_owner);
    let mut findings = Vec::new();
    let disk = match store.observe(host) {
        Ok(disk) => disk,
        Err(error) => {
            add(&mut findings, "unreadable", format!("{error:#}"));
            return Survey {
                findings,
                details: report::details(deployment, &store, &Disk::default(), None, now),
                sentence: "what is installed cannot be read".into(),
                waits: None,
                disk: None,
            };
        }
    };
    let convergence = report::leaf_sha256(&disk).map(|leaf| observe(host, settings, &leaf));
    findings.extend(on_disk(&disk, &store));
    match Journal::new(&settings.state_dir, "tls-rotate").read::<Value>(host) {
        Ok(None) => {}
        Ok(Some(_)) => {
            let message = "a rotation was interrupted; the next run finishes or undoes it";
            add(&mut findings, "interrupted", message);
        }
        Err(error) => add(&mut findings, "unreadable", format!("{error:#}")),
    }
    if let Some((_, chain)) = disk.pair.as_ref().and_then(Pair::sound) {
        desired(&mut findings, deployment, chain, now);
    }
    served(&mut findings, convergence.as_ref());
    let leaf = report::sound(&disk);
    Survey {
        details: report::details(deployment, &store, &disk, convergence.as_ref(), now),
        sentence: report::sentence(&disk, convergence.as_ref(), &Sources::not_asked(), now),
        waits: leaf
            .filter(|leaf| leaf.is_self_signed())
            .map(|_| waits_for(settings, &store)),
        findings,
        disk: Some(disk),
    }
}

/// A bridge is served: what is done until a CA has answered.
fn waits_for(settings: &Settings, store: &Store) -> String {
    match settings.tls.fullchain_url {
        None => format!(
            "submit {} to your CA, then set TLS_FULLCHAIN_URL in {}",
            store.request_path().display(),
            settings.dir.join(".env").display()
        ),
        Some(_) => {
            "wait for the CA; agnes-ops tls rotate installs its certificate when it is published"
                .to_owned()
        }
    }
}

/// Is the installed chain one that a rotation would install today, and for how long?
fn desired(
    findings: &mut Vec<Finding>,
    deployment: Deployment<'_>,
    chain: &Chain,
    now: OffsetDateTime,
) {
    let leaf = chain.leaf();
    if leaf.not_after - now < alarm_threshold(leaf) {
        let message = format!(
            "the installed certificate has {} days left",
            leaf.days_left(now)
        );
        add(findings, "expiring", message);
    }
    let identity = super::identity(deployment.settings);
    let names: Vec<&str> = identity.names.iter().map(String::as_str).collect();
    let keys = [leaf.spki.as_slice()];
    if let Err(refused) = chain.judge(&Criteria {
        keys: &keys,
        names: &names,
        now,
        installed: None,
    }) {
        let message = format!(
            "the installed certificate is not what is wanted: {}",
            refused.line()
        );
        add(findings, "not-desired", message);
    }
}

/// Compares, also with the sources, and reports findings with exit 10.
///
/// # Errors
/// When something cannot be read.
pub fn check(deployment: Deployment<'_>, memory: Option<&Value>) -> Result<Report> {
    let settings = deployment.settings;
    let memory = Memory::from_json(memory);
    let Survey {
        mut findings,
        mut details,
        sentence,
        disk,
        ..
    } = survey(deployment);
    let Some(disk) = disk else {
        return Ok(conclude(findings, details, sentence));
    };
    let idle = settings.tls.fullchain_url.is_none();
    let mut sources = Sources::ask(deployment, &memory, &disk, idle);
    let identity = super::identity(deployment.settings);
    let decided = plan(&sources.situation(deployment, &identity, &disk));
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
    details.insert("fetch".into(), sources.to_json(&memory));
    Ok(conclude(findings, details, sentence))
}

fn conclude(findings: Vec<Finding>, mut details: Map<String, Value>, sentence: String) -> Report {
    let mut lines = vec![sentence];
    lines.extend(
        findings
            .iter()
            .map(|finding| format!("{}: {}", finding.id, finding.message)),
    );
    details.insert("findings".into(), Finding::to_json(&findings));
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"));
    report.exit = if findings.is_empty() {
        Exit::Ok
    } else {
        Exit::Drift
    };
    report.details = details;
    report
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
    for why in &disk.unusable {
        add(&mut findings, "unusable", why.clone());
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

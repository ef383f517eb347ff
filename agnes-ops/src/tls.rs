//! Certificates: on disk, at their source, and as served.
//!
//! Always true: key and certificate change together, as one generation; what cannot be proven to be served is undone;
//! a failed fetch changes nothing.
//!
//! Does not: run a CA protocol. The chain is published somewhere by whoever runs the CA, and fetched from there.

mod certificate;
mod chain;
mod check;
mod csr;
mod generations;
mod inspect;
mod key;
mod plan;
mod reload;
mod report;
mod request;
mod rotate;
mod source;

use agnes_config::{Runtime, Settings, TlsMode};
use anyhow::Result;

pub use check::{Survey, check, survey};
pub use csr::{Options as CsrOptions, csr};
pub use inspect::inspect;
pub use key::PrivateKey;
pub use rotate::{Options as RotateOptions, ProofTime, rotate};

use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Refusal, Report};
use generations::Store;
use request::Identity;

/// What the certificate shall say.
fn identity(settings: &Settings) -> Identity {
    let tls = &settings.tls;
    let names = std::iter::once(&tls.domain)
        .chain(&tls.aliases)
        .map(|name| name.as_str().to_owned())
        .collect();
    Identity {
        subject: tls.csr_subject.clone(),
        names,
    }
}

/// Whether something is to be served from files of ours, also before a CA has answered.
pub fn is_wanted(settings: &Settings) -> bool {
    match settings.runtime {
        Runtime::Compose => settings.stack.tls_mode == TlsMode::Files,
        Runtime::Process => settings.server.tls_listen.is_some(),
    }
}

/// SHA-256 of the leaf that is installed, DER; `None`: there is none.
pub fn installed_leaf(deployment: Deployment<'_>) -> Option<String> {
    let store = Store::new(
        &deployment.settings.state_dir,
        deployment.settings.tls.file_owner,
    );
    report::leaf_sha256(&store.observe(deployment.host).ok()?)
}

/// When the installed certificate ends, in seconds since 1970-01-01T00:00:00Z; `None`: there is none.
pub fn end(deployment: Deployment<'_>) -> Option<i64> {
    let Deployment { host, settings, .. } = deployment;
    let store = Store::new(&settings.state_dir, settings.tls.file_owner);
    let disk = store.observe(host).ok()?;
    report::sound(&disk).map(|leaf| leaf.not_after.unix_timestamp())
}

/// `tls reload`: makes the served leaf the installed one, without rotating.
///
/// # Errors
/// When what is installed cannot be read.
pub fn reload(
    deployment: Deployment<'_>,
    dry_run: bool,
    memory: Option<&serde_json::Value>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let store = Store::new(&settings.state_dir, settings.tls.file_owner);
    let disk = store.observe(host)?;
    let broken = disk
        .pair
        .as_ref()
        .map_or(Some("there is no certificate".to_owned()), |pair| {
            pair.broken()
        });
    if let Some(why) = broken {
        let message = format!(
            "{}: {why}; nobody was asked to reload it",
            store.directory().display()
        );
        let refusal = Refusal::new("pair-broken", message)
            .hint("agnes-ops tls rotate puts a pair there that works");
        return Ok(Report::refused(Exit::Failed, refusal));
    }
    let expected = report::leaf_sha256(&disk).unwrap_or_default();
    let memory = source::Memory::from_json(memory);
    let seen = if dry_run {
        reload::observe(host, settings, &expected)
    } else {
        reload::converge_always(host, settings, &expected, memory.last_way.as_deref())
    };
    let now = host.now();
    let mut done = Report::ok(
        if seen.tried.iter().any(|tried| tried.result != "absent") {
            Outcome::Changed
        } else {
            Outcome::Unchanged
        },
        report::sentence(&disk, Some(&seen), &source::Sources::not_asked(), now),
    );
    done.details = report::details(deployment, &store, &disk, Some(&seen), now);
    if dry_run {
        let ways: Vec<String> = settings.tls.reload.iter().map(reload::name).collect();
        done.text = format!("would ask, in this order: {}", ways.join("; "));
    } else if !seen.holds() || seen.could_not_ask() {
        done.exit = Exit::Failed;
        done.outcome = Outcome::Unchanged;
        let message = format!(
            "not reloaded: {}; the files are as they were",
            seen.clause()
        );
        done.refusal = Some(Refusal::new("reload-not-proven", message));
    }
    Ok(done)
}

/// Are these bytes certificates in PEM and nothing else? `Err`: the reasons' codes, and one clause.
///
/// # Errors
/// `contains-key`, `empty` or `not-pem`.
pub fn check_certificates(bytes: &[u8]) -> Result<(), (Vec<String>, String)> {
    chain::Chain::parse(bytes)
        .map(drop)
        .map_err(|refused| (refused.codes(), refused.line()))
}

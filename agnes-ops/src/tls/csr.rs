//! `tls csr`: the request that is submitted to the CA.
//!
//! Always true: a key that a request was ever made for is kept until a certificate for it is committed.
//!
//! Does not: touch what is served.

use anyhow::Result;
use serde_json::json;

use super::generations::Store;
use super::plan::{ChainSource, KeyRef, KeySource, Situation, plan, resolve};
use super::{PrivateKey, request};
use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};

/// How `csr` was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Print the request itself.
    pub print: bool,
    /// Make a new key for it.
    pub new_key: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Makes `cert.csr` what it should be, and shows it.
///
/// # Errors
/// When it cannot be read or written.
pub fn csr(deployment: Deployment<'_>, options: Options) -> Result<Report> {
    let host = deployment.host;
    let settings = deployment.settings;
    if let Some(url) = &settings.tls.privkey_url {
        let message = format!(
            "the key is provisioned from {url}; whoever made it makes its request; nothing was changed"
        );
        return Ok(Report::refused(
            Exit::Failed,
            Refusal::new("key-is-provisioned", message),
        ));
    }
    let store = Store::new(&settings.state_dir, settings.tls.file_owner);
    let identity = super::identity(deployment.settings);
    let mut disk = store.observe(host)?;
    let situation = Situation {
        identity: &identity,
        key_type: settings.tls.key_type,
        now: host.now(),
        disk: &disk,
        key: KeySource::Host,
        chain: ChainSource::Nowhere,
        allow_older: false,
        ensure: true,
    };
    let decided = plan(&situation);
    let new_kind = match (options.new_key, decided.request) {
        (true, _) => Some(
            settings
                .tls
                .key_type
                .unwrap_or(agnes_config::KeyType::Rsa2048),
        ),
        (false, Some(KeyRef::New(kind))) => Some(kind),
        (false, _) => None,
    };
    let mut steps = Steps::begin(host.instant());
    let mut planned = Vec::new();
    if new_kind.is_some() || decided.request.is_some() {
        if options.dry_run {
            planned.push(Step::planned("make a key and write cert.csr"));
        } else {
            let made = match new_kind {
                Some(kind) => {
                    let key = PrivateKey::generate(kind).map_err(anyhow::Error::msg)?;
                    let number = store.add_pending(host, &disk, &key)?;
                    steps.done(
                        format!("make an {} key, pending/{number}.pem", key.kind),
                        host.instant(),
                    );
                    Some(key)
                }
                None => decided
                    .request
                    .and_then(|key| resolve(&situation, key))
                    .cloned(),
            };
            let key =
                made.ok_or_else(|| anyhow::anyhow!("there is no key to make the request for"))?;
            let pem = request::request(&identity, &key).map_err(anyhow::Error::msg)?;
            store.write_request(host, &pem)?;
            steps.done("write cert.csr", host.instant());
            disk = store.observe(host)?;
        }
    }
    let pem = host.read(&store.request_path())?.unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem).into_owned();
    let path = store.request_path();
    let text = format!("{}: submit this to the CA", path.display());
    let outcome = if steps.is_empty() || options.dry_run {
        Outcome::Unchanged
    } else {
        Outcome::Changed
    };
    let mut report = Report::ok(outcome, text)
        .detail(
            "subject",
            identity
                .subject
                .iter()
                .map(|(key, value)| format!("/{key}={value}"))
                .collect::<String>(),
        )
        .detail("sans", identity.names.clone())
        .detail("pending_keys", disk.pending.len());
    let described = disk
        .request
        .as_ref()
        .and_then(|request| request.as_ref().ok());
    report = report.detail(
        "csr",
        described.map(|request| json!({"path": path, "sha256": request.sha256})),
    );
    if options.print {
        // nothing but the request, so that it can be piped
        report.body = Some(zeroize::Zeroizing::new(pem.clone().into_bytes()));
        report = report.detail("pem", pem);
    }
    report.steps = if options.dry_run {
        planned
    } else {
        steps.into_vec()
    };
    Ok(report)
}

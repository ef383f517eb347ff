//! `fetch URL`: one source into a file or onto stdout.
//!
//! Always true: FILE is replaced whole and only by what passed; equal bytes write nothing.
//!
//! Does not: print a body under `--json`.

use agnes_config::SourceUrl;
use anyhow::Result;

use crate::cli::{Fetch, Kind};
use crate::fetch::Fetched;
use crate::host::Entry;
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::tls::{Deployment, PrivateKey, check_certificates};

/// Fetches and installs.
///
/// # Errors
/// When FILE cannot be read or written.
pub fn download(deployment: Deployment<'_>, fetch: &Fetch) -> Result<Report> {
    let left = match &fetch.output {
        Some(path) => format!("{} was left as it was", path.display()),
        None => "nothing was written".to_owned(),
    };
    let url: SourceUrl = match fetch.url.parse() {
        Ok(url) => url,
        Err(error) => {
            let error: agnes_config::SourceUrlError = error;
            let message = format!("{error}; {left}");
            return Ok(Report::refused(
                Exit::Failed,
                Refusal::new(error.code(), message),
            ));
        }
    };
    let refused = |reasons: Vec<String>, message: String, hint: Option<String>| {
        let refusal = Refusal {
            reasons,
            message: format!("{message}; {left}"),
            hint,
        };
        Ok(Report::refused(Exit::Failed, refusal).detail("url", url.to_string()))
    };
    let bytes = match deployment.fetcher.fetch(&url, None) {
        Ok(Fetched::Body { bytes, .. }) => bytes,
        Ok(Fetched::NotModified) => {
            return refused(
                vec!["malformed".into()],
                format!("{url}: answered without a body"),
                None,
            );
        }
        Err(failure) => {
            return refused(
                vec![failure.reason.as_str().to_owned()],
                format!("{}: {}", failure.url, failure.message),
                failure.hint.clone(),
            );
        }
    };
    let wrong = match fetch.kind {
        Kind::Any => None,
        Kind::Cert => check_certificates(&bytes).err(),
        Kind::Key => PrivateKey::parse(&bytes).err().map(|why| (vec![], why)),
    };
    if let Some((codes, why)) = wrong {
        let reasons = std::iter::once("malformed".to_owned())
            .chain(codes)
            .collect();
        return refused(
            reasons,
            format!("{url}: not what was asked for: {why}"),
            None,
        );
    }
    let mut report = Report::ok(Outcome::Unchanged, "")
        .detail("url", url.to_string())
        .detail("bytes", bytes.len())
        .detail("sha256", crate::tls::sha256_hex(&bytes))
        .detail(
            "path",
            fetch.output.as_ref().map(|path| path.display().to_string()),
        );
    let Some(path) = &fetch.output else {
        report.body = Some(bytes);
        return Ok(report);
    };
    let host = deployment.host;
    let mode = fetch.mode.unwrap_or(if fetch.kind == Kind::Key {
        0o600
    } else {
        0o644
    });
    let same_mode = matches!(host.entry(path)?, Entry::File { mode: found, .. } if found == mode);
    if same_mode && host.read(path)?.as_deref() == Some(bytes.as_slice()) {
        report.text = format!("{}: unchanged", path.display());
        return Ok(report);
    }
    let mut steps = Steps::begin(host.instant());
    host.install(path, &bytes, mode, None)?;
    report.outcome = Outcome::Changed;
    report.text = format!("{}: {} bytes from {url}", path.display(), bytes.len());
    steps.done(format!("install {}", path.display()), host.instant());
    report.steps = steps.into_vec();
    Ok(report)
}

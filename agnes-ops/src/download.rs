//! `fetch URL`: one source into a file or onto stdout.
//!
//! Always true: FILE is replaced whole and only by what passed; equal bytes write nothing; what is no regular file (a
//! device, a directory, a link) is never replaced.
//!
//! Does not: print a body under `--json`.

use std::path::Path;

use agnes_config::SourceUrl;
use anyhow::Result;

use crate::cli::{Fetch, Kind};
use crate::deployment::Deployment;
use crate::fetch::Fetched;
use crate::host::{Entry, Host};
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::tls::{PrivateKey, check_certificates};

/// Fetches and installs.
///
/// # Errors
/// When FILE cannot be read or written.
pub fn download(deployment: Deployment<'_>, fetch: &Fetch) -> Result<Report> {
    let output = fetch.output.as_deref().filter(|path| *path != "-");
    let left = match output {
        Some(path) => format!("{} was left as it was", path.display()),
        None => "nothing was written".to_owned(),
    };
    if let Some(path) = output
        && let Some(why) = not_replaceable(deployment.host, path)
    {
        let message = format!("{}: {why}; {left}", path.display());
        return Ok(Report::refused(
            Exit::Failed,
            Refusal::new("host-error", message),
        ));
    }
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
        .detail("sha256", crate::sha256::sha256(&bytes))
        .detail("path", output.map(|path| path.display().to_string()));
    let Some(path) = output else {
        report.body = Some(bytes);
        return Ok(report);
    };
    let host = deployment.host;
    let mode = fetch.mode.unwrap_or(if fetch.kind == Kind::Key {
        0o600
    } else {
        0o644
    });
    let same_mode =
        matches!(host.entry(path), Ok(Entry::File { mode: found, .. }) if found == mode);
    // one that cannot be read is not what was fetched, and is replaced
    let same = |found: Vec<u8>| found == *bytes;
    if same_mode && host.read(path).ok().flatten().is_some_and(same) {
        report.text = format!("{}: unchanged", path.display());
        return Ok(report);
    }
    let mut steps = Steps::begin(host.instant());
    if let Err(error) = host.install(path, &bytes, mode, None) {
        let message = format!("{:#}", anyhow::Error::new(error));
        return refused(vec!["host-error".into()], message, None);
    }
    report.outcome = Outcome::Changed;
    report.text = format!("{}: {} bytes from {url}", path.display(), bytes.len());
    steps.done(format!("install {}", path.display()), host.instant());
    report.steps = steps.into_vec();
    Ok(report)
}

/// Why nothing may be put in the place of what stands there; `None`: a regular file does, or nothing.
fn not_replaceable(host: &Host, path: &Path) -> Option<String> {
    let found = match host.entry(path) {
        Ok(Entry::Absent | Entry::File { .. }) => return None,
        Ok(Entry::Directory) => "a directory",
        Ok(Entry::Link(_)) => "a symbolic link",
        Ok(Entry::Other) => "a device, a socket or a fifo",
        Err(error) => return Some(format!("look at: {error}")),
    };
    Some(format!("{found}, not a regular file"))
}

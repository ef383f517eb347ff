//! `snapshot pull`: a snapshot from off this host.
//!
//! Always true: every file is compared with the manifest while it comes; it is published by one rename, and opened, compared and
//! migrated before it counts as proven.
//!
//! Does not: restore it.

use std::path::Path;

use agnes_config::Remote;
use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::json;

use super::create::sweep;
use super::manifest::{MANIFEST, Manifest, made_at};
use super::room::enough;
use super::verify::examine;
use super::{PULLING, Surroundings, directory, directory_of};
use crate::deployment::Deployment;
use crate::fetch::{Failure, Objects};
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps, one_line};
use crate::progress::Progress;

/// The longest manifest that is read, in bytes.
const MANIFEST_BYTES: usize = 16 << 20;

/// `snapshot pull`; without an id the newest that is there.
///
/// # Errors
/// When the host refuses something; nothing has the snapshot's name then.
pub fn pull(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    remote: &Remote,
    id: Option<&str>,
) -> Result<Report> {
    let Deployment {
        host,
        settings,
        fetcher,
    } = deployment;
    sweep(deployment)?;
    let failed = |failure: Failure| {
        let mut refusal = Refusal::new(
            failure.reason.as_str(),
            format!(
                "pull from {}: {}; nothing was pulled",
                failure.url, failure.message
            ),
        );
        refusal.hint = failure.hint;
        refused(refusal)
    };
    let objects = match fetcher.objects(remote) {
        Ok(objects) => objects,
        Err(failure) => return Ok(failed(failure)),
    };
    let (manifest, bytes) = match chosen(&objects, id) {
        Ok(Ok(found)) => found,
        Ok(Err(refusal)) => return Ok(refused(refusal)),
        Err(failure) => return Ok(failed(failure)),
    };
    let id = manifest.id.clone();
    let Some(path) = directory_of(settings, &id) else {
        let message = format!("{id:?}: is no name of a snapshot; nothing was pulled");
        return Ok(refused(Refusal::new("malformed", message)));
    };
    if path.exists() {
        return already(deployment, &path, &id, &bytes);
    }
    if let Err(why) = enough(host, &directory(settings), 1, manifest.bytes())? {
        let message = format!("{why}; nothing was pulled");
        return Ok(refused(Refusal::new("no-room", message)));
    }
    let mut steps = Steps::begin(host.instant());
    let pulling = directory(settings).join(format!("{id}{PULLING}"));
    let pulled = files(
        deployment,
        surroundings,
        &objects,
        &manifest,
        &bytes,
        &pulling,
    );
    match pulled {
        Ok(Ok(())) => host.move_file(&pulling, &path)?,
        Ok(Err(refusal)) => {
            host.remove_tree(&pulling)?;
            return Ok(refused(refusal));
        }
        Err(why) => {
            let _ = host.remove_tree(&pulling);
            return Err(why);
        }
    }
    steps.done(format!("pull {id}"), host.instant());
    let examined = match examine(deployment, surroundings, &id, "pull")? {
        Ok(examined) => examined,
        Err(refusal) => return Ok(refused(refusal)),
    };
    steps.done("verify", host.instant());
    let mut report = Report::ok(
        Outcome::Changed,
        format!("{id} is here from {remote}, and proven"),
    );
    if let Some(first) = examined.findings.first() {
        let message = format!("{id} is here, and damaged: {}", first.message);
        report = refused(Refusal::new(first.reason, message));
        report.outcome = Outcome::Changed;
    }
    report.steps = steps.into_vec();
    Ok(report
        .detail("id", id)
        .detail("url", remote.to_string())
        .detail("bytes", manifest.bytes())
        .detail("findings", json!(examined.findings)))
}

fn refused(refusal: Refusal) -> Report {
    Report::refused(Exit::Failed, refusal)
}

fn already(deployment: Deployment<'_>, path: &Path, id: &str, bytes: &[u8]) -> Result<Report> {
    let own = deployment.host.read(&path.join(MANIFEST))?;
    if own.as_deref() == Some(bytes) {
        let text = format!("{id} is here already");
        return Ok(Report::ok(Outcome::Unchanged, text).detail("id", id));
    }
    let message = format!("{id}: another snapshot of this name is here; nothing was pulled");
    Ok(refused(Refusal::new("name-taken", message)))
}

type Found = (Manifest, Vec<u8>);

/// The manifest that is wanted, or of the newest that has one.
fn chosen(objects: &Objects<'_>, id: Option<&str>) -> Result<Result<Found, Refusal>, Failure> {
    let names = match id {
        Some(id) => vec![id.to_owned()],
        None => {
            let mut names = objects.directories()?;
            names.retain(|name| made_at(name).is_some());
            names.reverse();
            names
        }
    };
    for name in names {
        let mut bytes = Vec::new();
        let read = objects.get(&format!("{name}/{MANIFEST}"), &mut |piece| {
            bytes.extend_from_slice(piece);
            match bytes.len() <= MANIFEST_BYTES {
                true => Ok(()),
                false => Err(std::io::Error::other("is too long")),
            }
        })?;
        if read.is_none() {
            // of a push that was not finished
            continue;
        }
        let refusal = match Manifest::parse(&bytes) {
            Ok(manifest) if manifest.id == name => return Ok(Ok((manifest, bytes))),
            Ok(manifest) => Refusal::new(
                "id-differs",
                format!("{name}: its manifest is that of {}", manifest.id),
            ),
            Err(why) => Refusal::new("manifest-unreadable", format!("{name}: {MANIFEST}: {why}")),
        };
        if id.is_some() {
            let message = format!("{}; nothing was pulled", refusal.message);
            return Ok(Err(Refusal { message, ..refusal }));
        }
        // an older one that is whole is worth more than a newer one that is not
        tracing::warn!("{}: passed over", one_line(&refusal.message));
    }
    let message = match id {
        Some(id) => format!("{id}: there is no such snapshot there; nothing was pulled"),
        None => "there is no snapshot there; nothing was pulled".to_owned(),
    };
    Ok(Err(Refusal::new("no-snapshot", message)))
}

fn files(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    objects: &Objects<'_>,
    manifest: &Manifest,
    bytes: &[u8],
    pulling: &Path,
) -> Result<Result<(), Refusal>> {
    let host = deployment.host;
    let program = super::program(deployment, surroundings)?;
    let owner = super::owner(deployment, &program)?;
    super::make_directory(host, pulling, owner)?;
    let progress = Progress::of("pull", manifest.bytes());
    for (name, wanted) in &manifest.files {
        let plain = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            let message = format!("{name:?}: is no path in a snapshot; nothing was pulled");
            return Ok(Err(Refusal::new("manifest-unreadable", message)));
        }
        let to = pulling.join(name);
        if let Some(parent) = to.parent() {
            host.make_dir(parent)?;
        }
        let object = format!("{}/{name}", manifest.id);
        let mut context = Context::new(&SHA256);
        let mut failure = None;
        let size = host.make_file(&to, 0o600, |file| {
            let got = objects.get(&object, &mut |piece| {
                context.update(piece);
                progress.moved(piece.len() as u64);
                std::io::Write::write_all(file, piece)
            });
            match got {
                Ok(size) => Ok(size),
                Err(why) => {
                    failure = Some(why);
                    Ok(None)
                }
            }
        })?;
        if let Some(failure) = failure {
            let mut refusal = Refusal::new(
                failure.reason.as_str(),
                format!(
                    "pull from {}: {}; nothing was pulled",
                    failure.url, failure.message
                ),
            );
            refusal.hint = failure.hint;
            return Ok(Err(refusal));
        }
        let same = crate::sha256::hex(context.finish().as_ref()) == wanted.sha256;
        let (reason, what) = match size {
            None => ("file-missing", "is missing there"),
            Some(size) if size != wanted.size => {
                ("file-size", "has another size there than the manifest says")
            }
            Some(_) if !same => (
                "file-sha256",
                "has other bytes there than the manifest says",
            ),
            Some(_) => continue,
        };
        let message = format!("{object}: {what}; nothing was pulled");
        return Ok(Err(Refusal::new(reason, message)));
    }
    host.install(&pulling.join(MANIFEST), bytes, 0o600, None)
        .context(MANIFEST)?;
    Ok(Ok(()))
}

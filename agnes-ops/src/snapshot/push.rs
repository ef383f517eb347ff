//! `snapshot push`: a proven snapshot, off this host.
//!
//! Always true: the manifest is put last, so that what has one is whole; every file is read back and compared before it is; what is
//! kept there follows the same retention, and the newest one is never removed.
//!
//! Does not: push what was not proven.

use agnes_config::Remote;
use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::json;

use super::directory;
use super::list::{listed, newest_proven};
use super::manifest::{File, MANIFEST, Manifest, made_at};
use super::proven::{Ledger, Pushed, Standing};
use super::retention::{Aged, Rule, surplus};
use crate::deployment::Deployment;
use crate::fetch::{Failure, Moved, Objects};
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::progress::Progress;

/// `snapshot push`; without an id the newest proven one.
///
/// # Errors
/// When the host refuses something; nothing on it is changed by a push.
pub fn push(deployment: Deployment<'_>, remote: &Remote, id: Option<&str>) -> Result<Report> {
    let chosen = match id {
        None => newest_proven(deployment)?,
        Some(id) => listed(deployment)?.into_iter().find(|one| one.id == id),
    };
    let Some(chosen) = chosen else {
        let message = match id {
            Some(id) => format!("{id}: there is no such snapshot"),
            None => "there is no proven snapshot to push".to_owned(),
        };
        return Ok(refused(Refusal::new("no-snapshot", message)));
    };
    let proven = matches!(chosen.standing, Standing::Proven(_));
    let Some(manifest) = chosen.manifest.filter(|_| proven) else {
        let message = format!(
            "{}: is not proven, and was not pushed; agnes-ops snapshot verify {}",
            chosen.id, chosen.id
        );
        return Ok(refused(Refusal::new("not-proven", message)));
    };
    let mut steps = Steps::begin(deployment.host.instant());
    match put(deployment, remote, &manifest, &mut steps)? {
        Ok((outcome, removed)) => {
            let text = match outcome {
                Outcome::Unchanged => format!("{} is at {remote} already", manifest.id),
                _ => format!(
                    "{} is at {remote}, read back and compared; {} older ones removed there",
                    manifest.id,
                    removed.len()
                ),
            };
            let mut report = Report::ok(outcome, text)
                .detail("id", manifest.id.clone())
                .detail("url", remote.to_string())
                .detail("bytes", manifest.bytes())
                .detail("removed", json!(removed));
            report.steps = steps.into_vec();
            Ok(report)
        }
        Err(failure) => {
            let message = format!(
                "push {} to {}: {}",
                manifest.id, failure.url, failure.message
            );
            let mut refusal = Refusal::new(failure.reason.as_str(), message);
            refusal.hint = failure.hint;
            Ok(refused(refusal).detail("id", manifest.id.clone()))
        }
    }
}

fn refused(refusal: Refusal) -> Report {
    Report::refused(Exit::Failed, refusal)
}

type Put = (Outcome, Vec<String>);

fn put(
    deployment: Deployment<'_>,
    remote: &Remote,
    manifest: &Manifest,
    steps: &mut Steps,
) -> Result<Result<Put, Failure>> {
    let Deployment {
        host,
        settings,
        fetcher,
    } = deployment;
    let objects = match fetcher.objects(remote) {
        Ok(objects) => objects,
        Err(failure) => return Ok(Err(failure)),
    };
    let from = directory(settings).join(&manifest.id);
    let own = host.sha256(&from.join(MANIFEST)).context(MANIFEST)?;
    let there = match sum(&objects, &format!("{}/{MANIFEST}", manifest.id)) {
        Ok(there) => there,
        Err(failure) => return Ok(Err(failure)),
    };
    let outcome = match there {
        Some((sha256, _)) if sha256 == own => Outcome::Unchanged,
        _ => {
            if let Err(failure) = files(deployment, &objects, manifest, &own)? {
                return Ok(Err(failure));
            }
            steps.done(format!("push {}", manifest.id), host.instant());
            Outcome::Changed
        }
    };
    let mut ledger = Ledger::read(host, settings)?;
    let pushed = Pushed {
        snapshot: manifest.id.clone(),
        at: host.now(),
    };
    ledger.pushed.insert(remote.to_string(), pushed);
    ledger.write(host, settings)?;
    let removed = match let_go(deployment, &objects) {
        Ok(removed) => removed,
        Err(failure) => return Ok(Err(failure)),
    };
    for id in &removed {
        steps.done(format!("remove {id} there"), host.instant());
    }
    let outcome = match removed.is_empty() {
        true => outcome,
        false => Outcome::Changed,
    };
    Ok(Ok((outcome, removed)))
}

/// Every file, and the manifest last; each is read back.
fn files(
    deployment: Deployment<'_>,
    objects: &Objects<'_>,
    manifest: &Manifest,
    own: &str,
) -> Result<Result<(), Failure>> {
    let Deployment { host, settings, .. } = deployment;
    let from = directory(settings).join(&manifest.id);
    let last = File {
        sha256: own.to_owned(),
        size: host.size(&from.join(MANIFEST))?.unwrap_or_default(),
    };
    let all = manifest.files.iter();
    let progress = Progress::of("push", manifest.bytes());
    let moved: Moved = progress.mover();
    for (name, wanted) in all.chain([(&MANIFEST.to_owned(), &last)]) {
        let path = from.join(name);
        let file = host
            .open(&path)
            .with_context(|| format!("{}: open", path.display()))?;
        let object = format!("{}/{name}", manifest.id);
        let put = objects.put(&object, file, &moved);
        let read = put.and_then(|()| sum(objects, &object));
        match read {
            Ok(Some((sha256, size))) if sha256 == wanted.sha256 && size == wanted.size => {}
            Ok(_) => anyhow::bail!(
                "{object}: what is read back is not what was put; the snapshot there has no manifest"
            ),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(()))
}

/// SHA-256 and size of an object, as it is read.
fn sum(objects: &Objects<'_>, name: &str) -> Result<Option<(String, u64)>, Failure> {
    let mut context = Context::new(&SHA256);
    let size = objects.get(name, &mut |piece| {
        context.update(piece);
        Ok(())
    })?;
    Ok(size.map(|size| (crate::sha256::hex(context.finish().as_ref()), size)))
}

/// The same retention as on the host, by what the names say; without a manifest it is what a push left unfinished.
fn let_go(deployment: Deployment<'_>, objects: &Objects<'_>) -> Result<Vec<String>, Failure> {
    let settings = deployment.settings;
    let rule = Rule {
        keep_last: settings.snapshot.keep_last,
        keep_days: settings.snapshot.keep_days,
    };
    let now = deployment.host.now();
    let names = objects.directories()?.into_iter();
    let aged: Vec<Aged> = names
        .filter_map(|id| {
            let at = made_at(&id)?;
            let standing = Standing::Proven(at);
            Some(Aged { id, at, standing })
        })
        .collect();
    let gone = surplus(&aged, rule, now);
    for id in &gone {
        // from here on it is no snapshot
        objects.remove(&format!("{id}/{MANIFEST}"))?;
        for name in objects.below(id)? {
            objects.remove(&name)?;
        }
    }
    Ok(gone)
}

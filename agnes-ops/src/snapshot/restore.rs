//! `snapshot restore`: the database of a snapshot, in place of the one that is there.
//!
//! Always true: what would be lost is counted and told first; nothing that is there is touched until the copy has been opened,
//! compared and migrated beside it (S09); writes are held from before the stop until the server has proven itself on the restored
//! data; what was there is kept, as a snapshot when it is sound (S07); any failure puts it back.
//!
//! Does not: choose a snapshot: that is a person's word.

mod configuration;
mod exchange;
mod loss;
mod steps;
mod transaction;

use std::path::Path;
use std::time::Duration;

use agnes_config::Settings;
use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use self::configuration::Wanted;
use self::loss::Loss;
use self::steps::{Restore, Stopped};
use self::transaction::{Phase, Transaction};
use super::create::sweep;
use super::manifest::{Manifest, Reason, id as named};
use super::room::enough;
use super::sealed::{self, Pair, SEALED};
use super::service::Service;
use super::{Surroundings, database, directory, verify};
use crate::database::FILE;
use crate::deployment::Deployment;
use crate::env_file::Lookup;
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::served::ControlSocket;

/// Asks a person who was told what would be lost.
pub type Consent<'a> = &'a dyn Fn(&str) -> bool;

/// How a restore runs.
pub struct Options<'a> {
    /// Which snapshot.
    pub id: &'a str,
    /// Says what would be lost, and does nothing.
    pub dry_run: bool,
    /// Configuration too.
    pub with_config: bool,
    /// Secrets too: the file that holds an identity of age.
    pub identity: Option<&'a Path>,
    /// The last word before anything is touched.
    pub consent: Consent<'a>,
    /// What it works with.
    pub hands: Hands<'a>,
}

/// What a restore needs of others.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// Starts and stops the server.
    pub service: &'a dyn Service,
    /// Gives the secrets of `.env` to everybody who keeps them.
    pub settle: &'a dyn Fn() -> Result<()>,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
}

/// `snapshot restore`.
///
/// # Errors
/// When something cannot be looked at; nothing was touched then.
pub fn restore(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    options: &Options<'_>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if !options.dry_run {
        sweep(deployment)?;
    }
    if let Some(report) = finish_open(deployment, surroundings, options.hands, options.dry_run)? {
        return Ok(report);
    }
    if Journal::new(&settings.state_dir, "upgrade").is_open(host)? {
        let message = "an upgrade was cut off, and comes first; nothing was touched";
        let refusal = Refusal::new("upgrade-open", message).hint("agnes-ops upgrade");
        return Ok(refused(refusal));
    }
    let examined = match verify::examine(deployment, surroundings, options.id, "verify")? {
        Ok(examined) => examined,
        Err(refusal) => return Ok(refused(refusal)),
    };
    if let Some(first) = examined.findings.first() {
        let message = format!("{}: {}; nothing was touched", first.snapshot, first.message);
        let report = refused(Refusal::new(first.reason, message));
        return Ok(report.detail("findings", json!(examined.findings)));
    }
    let Some(manifest) = examined.manifest else {
        anyhow::bail!("{}: has no manifest; nothing was touched", options.id);
    };
    let secrets = match options.identity {
        None => Vec::new(),
        Some(identity) => match unsealed(deployment, &manifest, identity)? {
            Ok(pairs) => pairs,
            Err(refusal) => return Ok(refused(refusal)),
        },
    };
    // what is there now becomes a snapshot, which may be another disk's
    let live = host
        .size(&settings.state_dir.join(FILE))?
        .unwrap_or_default();
    for (place, copies, bytes) in [
        (&settings.state_dir, 3, manifest.bytes()),
        (&directory(settings), 1, live),
    ] {
        if let Err(why) = enough(host, place, copies, bytes)? {
            let message = format!("{why}; nothing was touched");
            return Ok(refused(Refusal::new("no-room", message)));
        }
    }
    let ran = options.hands.service.runs()?;
    let loss = loss::survey(deployment, surroundings, &manifest)?;
    let told = loss.text(&manifest);
    if options.dry_run {
        let report = Report::ok(Outcome::Unchanged, told);
        return Ok(with_loss(planned(report, ran), &manifest, &loss));
    }
    if !(options.consent)(&told) {
        let report = Report::ok(Outcome::Unchanged, "nothing was touched");
        return Ok(with_loss(report, &manifest, &loss));
    }
    let wanted = match options.with_config {
        true => Wanted::read(deployment, &manifest)?,
        false => Wanted::default(),
    };
    let wanted = wanted.with_secrets(secrets);
    let transaction = Transaction {
        id: free_name(deployment),
        phase: Phase::Preparing,
        snapshot: manifest.id.clone(),
        ran,
        configuration: wanted.touched(deployment)?,
        secrets: wanted.secrets,
        why: None,
    };
    let mut work = work(deployment, surroundings, options.hands, transaction);
    work.wanted = wanted;
    let stopped = work.forward(&manifest);
    let mut report = end(work, stopped);
    if !told.is_empty() && report.refusal.is_none() {
        report.text = format!("{told}\n{}", report.text);
    }
    Ok(with_loss(report, &manifest, &loss))
}

/// A name that nothing has yet, for what is replaced: two restores of one second must not take each other's.
fn free_name(deployment: Deployment<'_>) -> String {
    let Deployment { host, settings, .. } = deployment;
    loop {
        let id = named(host.now(), &Reason::of("before-restore"));
        let kept = directory(settings).join(&id);
        let aside = settings.state_dir.join("ops/replaced").join(&id);
        if !kept.exists() && !aside.exists() {
            return id;
        }
        // names are of seconds
        host.sleep(Duration::from_millis(200));
    }
}

/// What going back to a snapshot would lose.
#[derive(Debug)]
pub struct Survey {
    /// For people.
    pub told: String,
    /// For programs.
    pub lost: serde_json::Value,
}

/// Verifies a snapshot and counts what going back to it would lose; nothing is touched.
///
/// # Errors
/// When something cannot be looked at.
pub fn survey(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    id: &str,
) -> Result<Result<Survey, Refusal>> {
    let examined = match verify::examine(deployment, surroundings, id, "verify")? {
        Ok(examined) => examined,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(first) = examined.findings.first() {
        let message = format!("{}: {}", first.snapshot, first.message);
        return Ok(Err(Refusal::new(first.reason, message)));
    }
    let Some(manifest) = examined.manifest else {
        anyhow::bail!("{id}: has no manifest; nothing was touched");
    };
    let loss = loss::survey(deployment, surroundings, &manifest)?;
    Ok(Ok(Survey {
        told: loss.text(&manifest),
        lost: loss.to_json(&manifest),
    }))
}

/// The secrets of a snapshot.
fn unsealed(
    deployment: Deployment<'_>,
    manifest: &Manifest,
    identity: &Path,
) -> Result<Result<Vec<Pair>, Refusal>> {
    let Deployment { host, settings, .. } = deployment;
    let no = |reason: &str, what: String| {
        let message = format!("{what}; nothing was touched");
        Ok(Err(Refusal::new(reason, message)))
    };
    let sealed = host.read(&directory(settings).join(&manifest.id).join(SEALED))?;
    let Some(sealed) = sealed else {
        return no("no-secrets", format!("{}: holds no secrets", manifest.id));
    };
    let text = match host.read(identity) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => {
            return no(
                "no-identity",
                format!("{}: is not there", identity.display()),
            );
        }
        Err(why) => return no("no-identity", format!("{}: {why}", identity.display())),
    };
    match sealed::open(&sealed, &String::from_utf8_lossy(&text)) {
        Ok(pairs) => Ok(Ok(pairs)),
        Err(why) => no("not-decrypted", format!("{}: {why}", manifest.id)),
    }
}

/// What another run left open comes first: a proven restore is tidied up, everything before that is undone.
///
/// # Errors
/// When its journal cannot be read.
pub fn finish_open(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    hands: Hands<'_>,
    dry_run: bool,
) -> Result<Option<Report>> {
    let Some(open) = journal(deployment.settings).read::<Transaction>(deployment.host)? else {
        return Ok(None);
    };
    if dry_run {
        let text = format!("would finish or undo {}, which was cut off", open.id);
        return Ok(Some(Report::ok(Outcome::Unchanged, text)));
    }
    let untouched = open.phase < Phase::Exchanging;
    let proven = open.phase == Phase::Proven;
    let mut work = work(deployment, surroundings, hands, open);
    let stopped = match proven {
        true => work.tidy(),
        false => Err(Stopped::new("interrupted", "another run was cut off")),
    };
    let report = end(work, stopped);
    Ok(Some(report).filter(|report| !untouched || report.exit == Exit::Degraded))
}

fn work<'a>(
    deployment: Deployment<'a>,
    surroundings: Surroundings<'a>,
    hands: Hands<'a>,
    transaction: Transaction,
) -> Restore<'a> {
    Restore {
        deployment,
        surroundings,
        hands,
        wanted: Wanted::default(),
        socket: ControlSocket::of(deployment.settings),
        journal: journal(deployment.settings),
        steps: Steps::begin(deployment.host.instant()),
        transaction,
        kept: None,
    }
}

fn end(mut work: Restore<'_>, stopped: Result<(), Stopped>) -> Report {
    let snapshot = work.transaction.snapshot.clone();
    let report = match stopped {
        Ok(()) => {
            let runs = match work.transaction.ran {
                true => "the server runs on it",
                false => "the server did not run and was not started",
            };
            let kept = match &work.kept {
                Some(kept) => format!("; what was there is kept as {kept}"),
                None => String::new(),
            };
            let text = format!("{snapshot} is restored, {runs}{kept}");
            Report::ok(Outcome::Changed, text)
        }
        // it serves, and has acknowledged writes: nothing goes back from here
        Err(why) if work.transaction.phase == Phase::Proven => {
            let aside = work.transaction.replaced(work.deployment.settings);
            let message = format!(
                "{snapshot} is restored and proven, and what was there is in {}; tidying up: {}; as soon as that can be mended, the next snapshot command does it",
                aside.display(),
                why.why
            );
            let mut report = refused(Refusal::new("not-tidied", message));
            report.outcome = Outcome::Changed;
            report
        }
        Err(why) => match work.undo(&why) {
            Ok(touched) => {
                let left = match touched {
                    true => "what was there is back and proven",
                    false => "nothing was touched",
                };
                let message = format!("{}; {left}", why.why);
                let mut report = refused(Refusal::new(why.reason, message));
                if touched {
                    report.outcome = Outcome::RolledBack;
                }
                report
            }
            Err(also) => {
                let aside = work.transaction.replaced(work.deployment.settings);
                let message = format!(
                    "{}; and the way back failed: {also:#}; the journal stays open, the data that was there is in {} or in place, and the next run tries again",
                    why.why,
                    aside.display()
                );
                let mut report =
                    Report::refused(Exit::Degraded, Refusal::new("way-back-failed", message));
                report.outcome = Outcome::Degraded;
                report
            }
        },
    };
    let mut report = report
        .detail("snapshot", snapshot)
        .detail("kept", work.kept.clone());
    report.steps = work.steps.into_vec();
    report
}

fn refused(refusal: Refusal) -> Report {
    Report::refused(Exit::Failed, refusal)
}

fn planned(mut report: Report, ran: bool) -> Report {
    let served = ["hold writes", "stop the server"];
    let after = ["start the server", "gate", "release writes"];
    let steps = ["prove a copy"]
        .into_iter()
        .chain(served.into_iter().filter(|_| ran))
        .chain(["exchange the data"])
        .chain(after.into_iter().filter(|_| ran))
        .chain(["keep what was there"]);
    report.steps = steps.map(Step::planned).collect();
    report
}

fn with_loss(report: Report, manifest: &Manifest, loss: &Loss) -> Report {
    report
        .detail("snapshot", manifest.id.clone())
        .detail("lost", loss.to_json(manifest))
}

/// The id of a restore that is not finished.
///
/// # Errors
/// When its journal cannot be read.
pub fn open_id(deployment: Deployment<'_>) -> Result<Option<String>> {
    let open = journal(deployment.settings).read::<Transaction>(deployment.host)?;
    Ok(open.map(|open| open.id))
}

/// The name of the room that it works in.
///
/// # Errors
/// When the journal cannot be read.
pub fn open_room(deployment: Deployment<'_>) -> Result<Option<String>> {
    let open = journal(deployment.settings).read::<Transaction>(deployment.host)?;
    Ok(open.map(|open| open.room()))
}

/// How old a snapshot is.
fn age_secs(now: OffsetDateTime, manifest: &Manifest) -> i64 {
    (now - manifest.created_at).whole_seconds()
}

/// The snapshot's database.
fn source(settings: &Settings, snapshot: &str) -> std::path::PathBuf {
    directory(settings).join(snapshot).join(FILE)
}

/// Whether a database is there at all.
fn is_there(deployment: Deployment<'_>) -> Result<bool> {
    let path = database(deployment.settings);
    let size = deployment.host.size(&path);
    size.map(|size| size.is_some())
        .map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
}

/// The journal of restores.
fn journal(settings: &Settings) -> Journal {
    Journal::new(&settings.state_dir, "restore")
}

//! `snapshot create`: a copy by the server while it runs, else by its program; configuration and a manifest beside it; published by
//! one rename.
//!
//! Always true: what could not be made is a failure and leaves nothing under the name (S02); the server's copy is counted and
//! hashed from the copy; a server that runs and does not answer is not passed by.
//!
//! Does not: decide what is kept (`prune` does).

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::Remote;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::{File, LeftOut, MANIFEST, Manifest, Reason, id};
use super::proven::Ledger;
use super::push::push;
use super::room::{self, ForTheNext};
use super::sealed::{self, SEALED};
use super::{MAKING, REMOVING, Surroundings, configuration, database, directory};
use crate::database::{Exported, FILE, Figures};
use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::progress::Progress;
use crate::served::{ControlSocket, NoAnswer};

/// How long a snapshot that the server is making for somebody else is waited for.
const BUSY: Duration = Duration::from_secs(120);

/// The snapshot is there, and it could not be written down that it is proven.
const NOT_NOTED: &str = "not-noted";

/// A snapshot that was made.
#[derive(Debug)]
pub struct Made {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it is.
    pub path: PathBuf,
}

/// Why none was made.
#[derive(Debug)]
pub struct Failed {
    /// For programs.
    pub reason: &'static str,
    /// One clause.
    pub why: String,
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self {
            reason: "host-error",
            why: format!("{error:#}"),
        }
    }
}

fn failed(reason: &'static str, why: impl Into<String>) -> Failed {
    let why = why.into();
    Failed { reason, why }
}

/// What the server answers.
#[derive(Deserialize)]
struct ByServer {
    #[serde(flatten)]
    exported: Exported,
    at: String,
    pause_ms: u64,
}

/// A copy of the database, not published yet.
struct Copy {
    exported: Exported,
    at: OffsetDateTime,
    pause_ms: u64,
    made_by: &'static str,
    version: Option<String>,
    image_digest: Option<String>,
}

/// `snapshot create`.
///
/// # Errors
/// When the host refuses something.
pub fn create(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    reason: &Reason,
    dry_run: bool,
) -> Result<Report> {
    if dry_run {
        let text = format!(
            "would make a snapshot below {}",
            directory(deployment.settings).display()
        );
        return Ok(Report::ok(Outcome::Unchanged, text));
    }
    let mut steps = Steps::begin(deployment.host.instant());
    let made = match make(deployment, surroundings, reason) {
        Ok(made) => made,
        Err(Failed { reason, why }) => {
            let left = match reason {
                NOT_NOTED => "",
                _ => "; no snapshot was made",
            };
            let message = format!("{why}{left}");
            return Ok(Report::refused(Exit::Failed, Refusal::new(reason, message)));
        }
    };
    steps.done(
        format!("snapshot {}", made.manifest.id),
        deployment.host.instant(),
    );
    let manifest = &made.manifest;
    let text = format!(
        "{}: {} bytes in {}, writes waited {} ms",
        manifest.id,
        manifest.bytes(),
        made.path.display(),
        manifest.pause_ms
    );
    let mut report = Report::ok(Outcome::Changed, text)
        .detail("id", manifest.id.clone())
        .detail("path", made.path.display().to_string())
        .detail("bytes", manifest.bytes())
        .detail("pause_ms", manifest.pause_ms)
        .detail("made_by", manifest.made_by.clone())
        .detail("left_out", json!(manifest.left_out));
    report.steps = steps.into_vec();
    match &deployment.settings.snapshot.push_to {
        Some(remote) => pushed(deployment, remote, report, manifest),
        None => Ok(report),
    }
}

/// A snapshot that could not be pushed is there all the same.
fn pushed(
    deployment: Deployment<'_>,
    remote: &Remote,
    mut report: Report,
    manifest: &Manifest,
) -> Result<Report> {
    let push = push(deployment, remote, Some(&manifest.id))?;
    report.steps.extend(push.steps);
    report = report.detail("pushed_to", remote.to_string());
    if let Some(mut refusal) = push.refusal {
        refusal.message = format!("{} was made; {}", manifest.id, refusal.message);
        report.exit = push.exit;
        report.refusal = Some(refusal);
    } else {
        report.text = format!("{}\n{}", report.text, push.text);
    }
    Ok(report)
}

/// Makes one, and notes it as proven.
///
/// # Errors
/// [`Failed`]; nothing of it is left.
pub fn make(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    reason: &Reason,
) -> Result<Made, Failed> {
    let Deployment { host, settings, .. } = deployment;
    sweep(deployment)?;
    enough_room(deployment)?;
    let id = unused_id(deployment, reason);
    let making = directory(settings).join(format!("{id}{MAKING}"));
    let made = copy(deployment, surroundings, &making)
        .and_then(|copy| complete(deployment, &id, reason, copy, &making));
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(why) => {
            // what stays is swept by the next run
            let _ = host.remove_tree(&making);
            return Err(why);
        }
    };
    let path = directory(settings).join(&id);
    host.move_file(&making, &path)
        .map_err(anyhow::Error::from)?;
    note(deployment, &manifest).map_err(|why| {
        let what = "it was made, and counts as not proven until `snapshot verify`";
        failed(NOT_NOTED, format!("{}: {what}: {why:#}", path.display()))
    })?;
    Ok(Made { manifest, path })
}

/// The figures of what a running server has, from a copy that is removed again.
///
/// # Errors
/// [`Failed`].
pub fn counted(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
) -> Result<Figures, Failed> {
    let Deployment { host, settings, .. } = deployment;
    enough_room(deployment)?;
    let id = unused_id(deployment, &Reason::of("counted"));
    let making = directory(settings).join(format!("{id}{MAKING}"));
    let copied = copy(deployment, surroundings, &making);
    host.remove_tree(&making).map_err(anyhow::Error::from)?;
    Ok(copied?.exported.figures)
}

/// How a database that was replaced is kept.
pub enum Kept {
    /// As a snapshot of this name.
    Snapshot(String),
    /// Where it is, for it is not sound.
    Unsound(String),
}

/// Makes a snapshot of the database in `aside`, which nobody serves any more, and removes it there. May be repeated.
///
/// # Errors
/// When the host refuses; the database is still in `aside` then.
pub fn keep(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    id: &str,
    aside: &Path,
) -> Result<Kept> {
    let Deployment { host, settings, .. } = deployment;
    let path = directory(settings).join(id);
    if !path.is_dir() {
        let program = super::program(deployment, surroundings)?;
        let reader = super::reader(deployment, &program)?;
        let figures = match reader.check(aside) {
            Ok(figures) => figures,
            Err(why) => return Ok(Kept::Unsound(why)),
        };
        let making = directory(settings).join(format!("{id}{MAKING}"));
        host.remove_tree(&making)?;
        super::make_directory(host, &making, reader.owner)?;
        let to = making.join(FILE);
        host.copy(&aside.join(FILE), &to, 0o600, reader.owner)?;
        let copy = Copy {
            exported: Exported {
                sha256: host.sha256(&to)?,
                bytes: host.size(&to)?.unwrap_or_default(),
                figures,
            },
            at: host.now(),
            pause_ms: 0,
            made_by: "restore",
            version: None,
            image_digest: None,
        };
        let reason = Reason::of("before-restore");
        let manifest = complete(deployment, id, &reason, copy, &making);
        let manifest = manifest.map_err(|Failed { why, .. }| anyhow::anyhow!(why))?;
        host.move_file(&making, &path)?;
        note(deployment, &manifest)?;
    }
    for name in host.list(aside)? {
        if name.starts_with(FILE) {
            host.remove_file(&aside.join(name))?;
        }
    }
    Ok(Kept::Snapshot(id.to_owned()))
}

/// What killed runs left half made or half removed.
pub(super) fn sweep(deployment: Deployment<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    room::sweep(deployment)?;
    let directory = directory(settings);
    let names = host.list(&directory);
    for name in names.with_context(|| format!("{}: list", directory.display()))? {
        // the server sweeps its own
        if [MAKING, REMOVING, super::PULLING]
            .iter()
            .any(|suffix| name.ends_with(suffix))
        {
            host.remove_tree(&directory.join(name))?;
        }
    }
    Ok(())
}

fn enough_room(deployment: Deployment<'_>) -> Result<(), Failed> {
    match room::for_the_next(deployment)? {
        ForTheNext::Enough => Ok(()),
        ForTheNext::Short(why) => Err(failed("no-room", why)),
        ForTheNext::NoDatabase(path) => {
            let why = format!("{}: there is no database here", path.display());
            Err(failed("no-database", why))
        }
    }
}

/// Two in one second would have one name.
fn unused_id(deployment: Deployment<'_>, reason: &Reason) -> String {
    let Deployment { host, settings, .. } = deployment;
    loop {
        let id = id(host.now(), reason);
        if !directory(settings).join(&id).exists() {
            return id;
        }
        host.sleep(Duration::from_millis(100));
    }
}

fn copy(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    making: &Path,
) -> Result<Copy, Failed> {
    let settings = deployment.settings;
    let socket = ControlSocket::of(settings);
    let name = making.file_name().unwrap_or_default().to_string_lossy();
    match asked(deployment, &socket, &name) {
        Ok(answer) => {
            let state = socket.get("/v1/state").unwrap_or_default();
            let text = |key: &str| {
                let found = state.get(key).and_then(serde_json::Value::as_str);
                found.filter(|text| !text.is_empty()).map(str::to_owned)
            };
            let by_server: ByServer = serde_json::from_value(answer)
                .map_err(|why| failed("snapshot-failed", format!("the server's answer: {why}")))?;
            let at = OffsetDateTime::parse(&by_server.at, &Rfc3339);
            Ok(Copy {
                exported: by_server.exported,
                at: at.unwrap_or(deployment.host.now()),
                pause_ms: by_server.pause_ms,
                made_by: "server",
                version: text("version"),
                image_digest: text("digest"),
            })
        }
        Err(NoAnswer::Nobody) => export(deployment, surroundings, making),
        // it may be at work: its lock would refuse an export too
        Err(why) => {
            let what = format!("{}: {why}", socket.path().display());
            Err(failed("snapshot-failed", what))
        }
    }
}

/// A server goes on with what a killed run has asked for; that one comes first.
fn asked(
    deployment: Deployment<'_>,
    socket: &ControlSocket,
    name: &str,
) -> Result<serde_json::Value, NoAnswer> {
    let host = deployment.host;
    let begun = host.instant();
    let path = directory(deployment.settings).join(format!("{name}.part/{FILE}"));
    let size = host.size(&database(deployment.settings));
    let size = size.ok().flatten().unwrap_or_default();
    let _progress = Progress::of("snapshot", size).follows(path);
    loop {
        let made = socket.post_slowly("/v1/snapshot", &json!({"name": name}));
        let busy = matches!(made, Err(NoAnswer::Refused(409, _)));
        if !busy || begun.elapsed() >= BUSY {
            return made;
        }
        host.sleep(Duration::from_millis(200));
    }
}

/// The program takes the server's lock: a server that runs all the same is not passed by.
fn export(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    making: &Path,
) -> Result<Copy, Failed> {
    let Deployment { host, settings, .. } = deployment;
    let program = super::program(deployment, surroundings)?;
    let reader = super::reader(deployment, &program)?;
    super::make_directory(host, making, reader.owner)?;
    let root = match settings.data_dir.is_dir() {
        true => &settings.data_dir,
        false => &settings.state_dir,
    };
    let exported = reader
        .export(root, &database(settings), &making.join(FILE))
        .map_err(|why| failed("export-failed", format!("no server answers, and {why}")))?;
    Ok(Copy {
        exported,
        at: host.now(),
        pause_ms: 0,
        made_by: "export",
        version: None,
        image_digest: None,
    })
}

/// Everything beside the database, and the manifest last.
fn complete(
    deployment: Deployment<'_>,
    id: &str,
    reason: &Reason,
    copy: Copy,
    making: &Path,
) -> Result<Manifest, Failed> {
    let Deployment { host, settings, .. } = deployment;
    let configuration = configuration::read(host, settings)?;
    let mut files = std::collections::BTreeMap::new();
    let database = making.join(FILE);
    let size = host
        .size(&database)
        .context("the copy of the database")?
        .unwrap_or_default();
    if size != copy.exported.bytes {
        let why = format!("{}: is not what was copied", database.display());
        return Err(failed("snapshot-failed", why));
    }
    files.insert(
        FILE.to_owned(),
        File {
            sha256: copy.exported.sha256,
            size,
        },
    );
    let beside = making.join(configuration::DIRECTORY);
    for (path, bytes) in &configuration.files {
        let to = beside.join(path);
        if let Some(parent) = to.parent() {
            host.make_dir(parent).map_err(anyhow::Error::from)?;
        }
        host.install(&to, bytes, 0o600, None)
            .map_err(anyhow::Error::from)?;
        let name = Path::new(configuration::DIRECTORY).join(path);
        let sha256 = host.sha256(&to).context("the copy of the configuration")?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        files.insert(name.display().to_string(), File { sha256, size });
    }
    let mut left_out = configuration.left_out;
    let sealed = match settings.snapshot.age_recipients.is_empty() {
        true => None,
        false => sealed::seal(host, settings)?,
    };
    if let Some(sealed) = &sealed {
        let to = making.join(SEALED);
        host.install(&to, sealed, 0o600, None)
            .map_err(anyhow::Error::from)?;
        let sha256 = host.sha256(&to).context(SEALED)?;
        let size = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        files.insert(SEALED.to_owned(), File { sha256, size });
        // whole in there
        left_out.retain(|one| !one.what.starts_with(".env"));
    } else {
        left_out.push(LeftOut {
            what: "secrets".to_owned(),
            why: "snapshot.age_recipient is not set".to_owned(),
        });
    }
    left_out.push(LeftOut {
        what: "the private key of TLS".to_owned(),
        why: "it never leaves the host".to_owned(),
    });
    let Figures {
        schema,
        engine,
        tables,
    } = copy.exported.figures;
    let manifest = Manifest {
        manifest_version: Manifest::version_now(),
        id: id.to_owned(),
        reason: reason.to_string(),
        created_at: copy.at,
        version: copy.version,
        image_digest: copy.image_digest,
        engine_version: engine,
        schema_version: schema,
        made_by: copy.made_by.to_owned(),
        pause_ms: copy.pause_ms,
        tables,
        files,
        left_out,
    };
    let bytes = serde_json::to_vec_pretty(&manifest).context("the manifest")?;
    host.install(&making.join(MANIFEST), &bytes, 0o600, None)
        .map_err(anyhow::Error::from)?;
    Ok(manifest)
}

/// It was counted and hashed from the copy by whoever made it.
fn note(deployment: Deployment<'_>, manifest: &Manifest) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let path = directory(settings).join(&manifest.id).join(MANIFEST);
    let sha256 = host
        .sha256(&path)
        .with_context(|| format!("{}: read", path.display()))?;
    let mut ledger = Ledger::read(host, settings)?;
    ledger.note(&manifest.id, &sha256, Some(host.now()), "create");
    ledger.write(host, settings)
}

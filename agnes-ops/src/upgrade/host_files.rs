//! The files of the host that an image brings: Compose files, the proxy's, this program. One digest pins all of it (U11).
//!
//! Always true: a generation, `<DIR>/<digest12>/`, is whole and durable before it has its name, and is not changed afterwards;
//! `<DIR>/current` names the one of the version that runs. The stack's files are rendered by the version's own program, which writes
//! over no change of a person's and shows the set to Compose first.
//!
//! Does not: start or stop anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::containers::{Docker, kept_container};
use super::transaction::{HostFiles, Release};
use crate::deployment::Deployment;
use crate::host::{Entry, Host};

/// Where an image has them.
const IN_IMAGE: &str = "/usr/share/agnes/host";
/// Names the generation of the version that runs.
const CURRENT: &str = "current";
/// The program in a generation.
const PROGRAM: &str = "agnes-ops";
/// There where this host has our units.
const OUR_TIMER: &str = "/etc/systemd/system/agnes-upgrade.timer";
/// How long rendering may take.
const RENDER: Duration = Duration::from_secs(120);

/// Takes the files out of a kept image; `None`: it has none.
///
/// # Errors
/// One clause; nothing has the generation's name then.
pub fn stage(
    deployment: Deployment<'_>,
    docker: &Docker<'_>,
    release: &Release,
) -> Result<Option<HostFiles>, String> {
    let Deployment { host, settings, .. } = deployment;
    let dir = &settings.dir;
    let to = match &release.digest {
        Some(digest) => digest.short().to_owned(),
        // what was built here has no name that says what it is
        None => return Ok(None),
    };
    let path = dir.join(&to);
    if !path.is_dir() {
        let staging = dir.join(format!("{to}.staging"));
        let failed = |why: anyhow::Error| format!("{}: {why:#}", staging.display());
        host.remove_tree(&staging).map_err(|e| failed(e.into()))?;
        let container = kept_container(&release.image_id);
        if !docker.copy_out(&container, IN_IMAGE, &staging)? {
            return Ok(None);
        }
        host.sync(&staging).map_err(|e| failed(e.into()))?;
        host.move_file(&staging, &path)
            .map_err(|e| failed(e.into()))?;
    }
    let from = current(host, dir).map_err(|why| format!("{why:#}"))?;
    Ok(Some(HostFiles { from, to }))
}

fn current(host: &Host, dir: &Path) -> Result<Option<String>> {
    let path = dir.join(CURRENT);
    let entry = host.entry(&path);
    match entry.with_context(|| format!("{}: look at", path.display()))? {
        Entry::Link(target) => Ok(target.to_str().map(str::to_owned)),
        Entry::Absent => Ok(None),
        _ => anyhow::bail!("{}: is no link of ours", path.display()),
    }
}

/// Makes a generation the current one, or none.
///
/// # Errors
/// What the file system says.
pub fn flip(host: &Host, dir: &Path, to: Option<&str>) -> Result<()> {
    let path = dir.join(CURRENT);
    match to {
        Some(name) => host.link(Path::new(name), &path)?,
        None => host.remove_file(&path)?,
    }
    Ok(())
}

/// The stack's files as a generation's own program renders them; whether something changed. A program that cannot be told that we
/// hold the lock renders nothing.
///
/// # Errors
/// One clause: what it refuses.
pub fn render(host: &Host, dir: &Path, generation: &str) -> Result<bool, String> {
    let program: PathBuf = dir.join(generation).join(PROGRAM);
    run(host, &program, dir, &["render", "compose"])
}

/// A command of another version's, under our lock; whether it changed something. One that cannot be told that we hold the lock does nothing.
fn run(host: &Host, program: &Path, dir: &Path, verb: &[&str]) -> Result<bool, String> {
    let (program, dir) = (program.to_string_lossy(), dir.to_string_lossy());
    let argv = [&[&*program, "-C", &*dir], verb, &["--json", "--of-parent"]].concat();
    let verb = verb.join(" ");
    let ran = host
        .run(&argv, None, RENDER)
        .map_err(|why| format!("{program}: {why}"))?;
    let said: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_default();
    match ran.code {
        0 => Ok(said.get("outcome").and_then(Value::as_str) == Some("changed")),
        2 => Ok(false),
        code => {
            let message = said.pointer("/details/message").and_then(Value::as_str);
            Err(match message {
                Some(message) => format!("{program}: {verb}: {message}"),
                None => format!("{program}: {verb}: exit {code}: {}", ran.last_line()),
            })
        }
    }
}

/// The units as a generation's own program has them, where this host has ours; whether something changed. The units that are there serve
/// until it succeeds: `units status` and `watch` tell when they are another version's.
///
/// # Errors
/// One clause: what it refuses.
pub fn units(host: &Host, dir: &Path, generation: &str) -> Result<bool, String> {
    if !matches!(host.entry(Path::new(OUR_TIMER)), Ok(Entry::File { .. })) {
        return Ok(false);
    }
    let program: PathBuf = dir.join(generation).join(PROGRAM);
    run(host, &program, dir, &["units", "install"])
}

/// Removes generations that nothing names any more.
///
/// # Errors
/// What the file system says.
pub fn let_go(host: &Host, dir: &Path, kept: &[String]) -> Result<()> {
    let current = current(host, dir)?;
    for name in host.list(dir)? {
        let digits = name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let is_kept = kept.contains(&name) || current.as_ref() == Some(&name);
        let ours = dir.join(&name).join(PROGRAM);
        if digits && !is_kept && host.size(&ours)?.is_some() {
            host.remove_tree(&dir.join(name))?;
        }
    }
    Ok(())
}

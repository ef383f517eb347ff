//! What upgrades did: one proof file each.
//!
//! Always true: written once, when the swap or its way back is proven.
//!
//! Does not: decide anything by it.

use std::path::PathBuf;

use agnes_config::Settings;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rehearse::Rehearsed;
use super::transaction::{Release, Transaction};
use crate::deployment::Deployment;
use crate::host::Host;
use crate::outcome::{Outcome, Report};
use crate::snapshot::Manifest;

/// What was proven on the way.
#[derive(Debug, Default)]
pub struct Proof {
    /// The snapshot that was taken before.
    pub snapshot: Option<Manifest>,
    /// What the new version did to a copy.
    pub rehearsed: Option<Rehearsed>,
    /// The last row of the audit log before the stop.
    pub head_before: Value,
    /// What passed the gate.
    pub passed: Option<Value>,
}

fn directory(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/history/upgrade")
}

fn stamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

impl Proof {
    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &self,
        host: &Host,
        settings: &Settings,
        transaction: &Transaction,
        outcome: &str,
    ) -> Result<()> {
        let started = OffsetDateTime::from_unix_timestamp(transaction.started_at)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let rehearsed = self
            .rehearsed
            .map(|one| json!({"schema_from": one.migrated.from, "schema_to": one.migrated.to}));
        let proof = json!({
            "id": transaction.id,
            "outcome": outcome,
            "from": transaction.from,
            "to": transaction.to,
            "tag": transaction.tag,
            "started_at": stamp(started),
            "ended_at": stamp(host.now()),
            "back": transaction.back,
            "sick": transaction.sick,
            "data": transaction.data,
            "rehearsal": transaction.rehearsal,
            "migrates": transaction.migrates,
            "held_ms": transaction.held_ms,
            "restore_point_sha256": transaction.restore_point,
            "restore_point_ms": transaction.restore_point_ms,
            "why": transaction.why,
            "snapshot": self.snapshot,
            "rehearsed": rehearsed,
            "audit_head_before": self.head_before,
            "gate": self.passed,
        });
        let directory = directory(settings);
        host.make_dir(&directory)?;
        let path = directory.join(format!("{}.json", transaction.id));
        host.install(&path, &serde_json::to_vec_pretty(&proof)?, 0o644, None)?;
        Ok(())
    }
}

/// How a version came to run.
#[derive(Debug)]
pub struct Arrival {
    /// What ran before.
    pub from: Release,
    /// It migrated the data.
    pub migrates: bool,
    /// The snapshot that was taken before.
    pub snapshot: Option<String>,
}

/// An upgrade that was proven, and is what runs as far as upgrades know.
#[derive(Debug)]
pub struct Commit {
    /// What runs since.
    pub to: Release,
    /// It migrated the data.
    pub migrates: bool,
    /// When it began, in seconds since 1970.
    pub started_at: i64,
    /// When it was committed, in seconds since 1970.
    pub ended_at: i64,
    /// The last row of the audit log before it.
    pub audit_seq_before: Option<i64>,
}

impl Commit {
    /// When it began, RFC 3339.
    pub fn started_at_text(&self) -> String {
        OffsetDateTime::from_unix_timestamp(self.started_at).map_or_else(|_| String::new(), stamp)
    }
}

/// The newest of all; `None`: there is none, or the newest was a way back, or did not get there.
///
/// # Errors
/// When a proof cannot be read.
pub fn last_commit(host: &Host, settings: &Settings) -> Result<Option<Commit>> {
    let directory = directory(settings);
    let mut entries: Vec<Value> = Vec::new();
    for name in host.list(&directory)?.into_iter().rev() {
        let bytes = host.read(&directory.join(&name))?.unwrap_or_default();
        // what is no proof of ours says nothing of the others
        match serde_json::from_slice(&bytes) {
            Ok(entry) => entries.push(entry),
            Err(why) => tracing::warn!(
                "{}: is no proof of an upgrade: {why}",
                directory.join(&name).display()
            ),
        }
    }
    // a rehearsal changed nothing
    let rehearsed = |entry: &&Value| entry.get("rehearsal").and_then(Value::as_bool) != Some(true);
    let Some(entry) = entries.iter().find(rehearsed) else {
        return Ok(None);
    };
    let secs = |key: &str| {
        let at = OffsetDateTime::parse(entry.get(key)?.as_str()?, &Rfc3339);
        at.ok().map(OffsetDateTime::unix_timestamp)
    };
    let is_back = entry.get("back").and_then(Value::as_bool) == Some(true);
    if !is(entry, "outcome", "changed") || is_back {
        return Ok(None);
    }
    let to = entry.get("to").cloned().unwrap_or_default();
    let parts = serde_json::from_value(to)
        .ok()
        .zip(secs("started_at"))
        .zip(secs("ended_at"));
    Ok(parts.map(|((to, started_at), ended_at)| Commit {
        to,
        migrates: entry.get("migrates").and_then(Value::as_bool) == Some(true),
        started_at,
        ended_at,
        audit_seq_before: entry
            .pointer("/audit_head_before/seq")
            .and_then(Value::as_i64),
    }))
}

/// The newest upgrade that brought `running` and was not gone back on.
///
/// # Errors
/// When a proof cannot be read.
pub fn arrival(host: &Host, settings: &Settings, running: &str) -> Result<Option<Arrival>> {
    for entry in read(host, settings)? {
        let to: Option<Release> = entry
            .get("to")
            .and_then(|to| serde_json::from_value(to.clone()).ok());
        if !is(&entry, "outcome", "changed") || to.is_none_or(|to| to.image_id != running) {
            continue;
        }
        if entry.get("back").and_then(Value::as_bool) == Some(true) {
            // it was itself a way back: what it left is not to be gone to
            return Ok(None);
        }
        let from = entry.get("from").cloned().unwrap_or_default();
        let snapshot = entry.pointer("/snapshot/id").and_then(Value::as_str);
        return Ok(serde_json::from_value(from).ok().map(|from| Arrival {
            from,
            migrates: entry.get("migrates").and_then(Value::as_bool) == Some(true),
            snapshot: snapshot.map(str::to_owned),
        }));
    }
    Ok(None)
}

/// The versions that ran here and after them those that were only tried, each once, the newest first.
///
/// # Errors
/// When a proof cannot be read.
pub fn releases(host: &Host, settings: &Settings) -> Result<Vec<Release>> {
    let (mut ran, mut tried): (Vec<Release>, Vec<Release>) = Default::default();
    for entry in read(host, settings)? {
        let changed = is(&entry, "outcome", "changed");
        let release = |side| serde_json::from_value(entry.get(side).cloned().unwrap_or_default());
        match (release("to"), changed) {
            (Ok(to), true) => ran.push(to),
            (Ok(to), false) => tried.push(to),
            (Err(_), _) => {}
        }
        ran.extend(release("from").ok());
    }
    let mut found: Vec<Release> = Vec::new();
    for release in ran.into_iter().chain(tried) {
        if found.iter().all(|known| known.image_id != release.image_id) {
            found.push(release);
        }
    }
    Ok(found)
}

/// What upgrades without a migration took from the hold to the release besides the copy, in milliseconds, the newest first.
///
/// # Errors
/// When a proof cannot be read.
pub fn changes_ms(host: &Host, settings: &Settings) -> Result<Vec<i64>> {
    let measured = read(host, settings)?.into_iter().filter_map(|entry| {
        let ms = |key| entry.get(key).and_then(Value::as_i64);
        let plain = is(&entry, "outcome", "changed") && entry.get("migrates")? == false;
        // a proof of an older version has the copy in its figure
        plain.then(|| Some(ms("held_ms")? - ms("restore_point_ms").unwrap_or_default()))?
    });
    Ok(measured.collect())
}

fn is(entry: &Value, key: &str, wanted: &str) -> bool {
    entry.get(key).and_then(Value::as_str) == Some(wanted)
}

fn read(host: &Host, settings: &Settings) -> Result<Vec<Value>> {
    let directory = directory(settings);
    let mut entries = Vec::new();
    for name in host.list(&directory)?.into_iter().rev() {
        let path = directory.join(&name);
        let bytes = host.read(&path)?.unwrap_or_default();
        let entry: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{}: is no proof of an upgrade", path.display()))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// `upgrade history`: all of them, the newest first.
///
/// # Errors
/// When a proof cannot be read.
pub fn history(deployment: Deployment<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let entries = read(host, settings)?;
    let lines: Vec<String> = entries.iter().map(line).collect();
    let text = match lines.is_empty() {
        true => "no upgrade was made here yet".to_owned(),
        false => lines.join("\n"),
    };
    Ok(Report::ok(Outcome::Unchanged, text).detail("upgrades", entries))
}

fn line(entry: &Value) -> String {
    let text = |path: &str| {
        entry
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    let short = |path: &str| {
        let digest = text(path);
        digest.get(7..19).unwrap_or(&digest).to_owned()
    };
    let held = entry.get("held_ms").and_then(Value::as_i64);
    let held = held.map_or(String::new(), |held| format!(", writes held {held} ms"));
    let why = match text("/why").as_str() {
        "-" => String::new(),
        why => format!(": {why}"),
    };
    let rehearsal = entry.get("rehearsal").and_then(Value::as_bool) == Some(true);
    let what = match rehearsal {
        true => "rehearsed".to_owned(),
        false => text("/outcome"),
    };
    format!(
        "{}  {what}  {} → {}{held}{why}",
        text("/ended_at"),
        short("/from/digest"),
        short("/to/digest")
    )
}

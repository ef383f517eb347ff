//! `snapshot list`: what is there, and what is known of it.
//!
//! Always true: reads only; a snapshot without a manifest is listed too.
//!
//! Does not: open a database, or read what is in it: a changed byte is found by `verify`, a missing or shortened file here.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::{MANIFEST, Manifest, Unusable, made_at};
use super::proven::{Ledger, Standing};
use super::verify::is_regular;
use super::{directory, names};
use crate::deployment::Deployment;
use crate::host::Host;
use crate::outcome::{Outcome, Report};

/// One that is there.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// Why that is not known; `None`: it is.
    pub unusable: Option<Unusable>,
    /// How it stands.
    pub standing: Standing,
}

impl Listed {
    /// What orders them by when they were made.
    fn age(&self) -> (Option<OffsetDateTime>, Option<OffsetDateTime>, String) {
        // the name first: what a manifest says is looked at by `verify`
        let told = self.manifest.as_ref().map(|manifest| manifest.created_at);
        (made_at(&self.id).or(told), told, self.id.clone())
    }
}

/// All that are there, the oldest first.
///
/// # Errors
/// When something cannot be read.
pub fn listed(deployment: Deployment<'_>) -> Result<Vec<Listed>> {
    let Deployment { host, settings, .. } = deployment;
    let ledger = Ledger::read(host, settings)?;
    let mut found = Vec::new();
    for id in names(deployment)? {
        let path = directory(settings).join(&id);
        let (manifest, unusable) = match Manifest::read(host, &path)? {
            Ok(manifest) => (Some(manifest), None),
            Err(why) => (None, Some(why)),
        };
        let sum = match &manifest {
            Some(_) => Some(host.sha256(&path.join(MANIFEST))?),
            None => None,
        };
        let mut standing = ledger.standing(&id, sum.as_deref());
        if let Some(manifest) = &manifest
            && !is_there(host, &path, manifest)?
        {
            standing = Standing::Failed;
        }
        found.push(Listed {
            standing,
            id,
            manifest,
            unusable,
        });
    }
    // two of one second are told apart by more than their names
    found.sort_by_key(Listed::age);
    Ok(found)
}

/// Whether every file is there with its size: what is kept in place of another must at least be that.
fn is_there(host: &Host, path: &Path, manifest: &Manifest) -> Result<bool> {
    for (name, wanted) in &manifest.files {
        let at = path.join(name);
        if !is_regular(host, &at)? || host.size(&at)? != Some(wanted.size) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The newest that was proven.
///
/// # Errors
/// As [`listed`].
pub fn newest_proven(deployment: Deployment<'_>) -> Result<Option<Listed>> {
    let mut all = listed(deployment)?;
    all.retain(|one| matches!(one.standing, Standing::Proven(_)));
    Ok(all.pop())
}

/// `snapshot list`.
///
/// # Errors
/// As [`listed`].
pub fn list(deployment: Deployment<'_>) -> Result<Report> {
    let now = deployment.host.now();
    let all = listed(deployment)?;
    let place = directory(deployment.settings);
    let lines: Vec<String> = all.iter().map(|one| line(one, now)).collect();
    let text = match lines.is_empty() {
        true => format!("{}: no snapshots", place.display()),
        false => lines.join("\n"),
    };
    let ledger = Ledger::read(deployment.host, deployment.settings)?;
    let snapshots: Vec<Value> = all.iter().map(|one| as_json(one, now)).collect();
    Ok(Report::ok(Outcome::Unchanged, text)
        .detail("directory", place.display().to_string())
        .detail("snapshots", snapshots)
        .detail("last_drill", json!(ledger.last_drill))
        .detail("pushed", json!(ledger.pushed)))
}

fn line(one: &Listed, now: OffsetDateTime) -> String {
    let standing = match one.standing {
        Standing::Proven(at) => format!("proven {}", stamp(at)),
        Standing::Failed => "DAMAGED".to_owned(),
        Standing::Unknown => "not proven".to_owned(),
    };
    match &one.manifest {
        None => {
            let why = match &one.unusable {
                Some(Unusable::Unreadable(why)) => format!("{MANIFEST}: {why}"),
                Some(Unusable::Missing) | None => "it has no manifest".to_owned(),
            };
            format!("{}  {standing}: {why}", one.id)
        }
        Some(manifest) => format!(
            "{}  {standing}  {} bytes, {} h old, schema {}",
            one.id,
            manifest.bytes(),
            (now - manifest.created_at).whole_hours(),
            manifest.schema_version
        ),
    }
}

fn as_json(one: &Listed, now: OffsetDateTime) -> Value {
    let (state, proven_at) = match one.standing {
        Standing::Proven(at) => ("proven", Some(stamp(at))),
        Standing::Failed => ("damaged", None),
        Standing::Unknown => ("unknown", None),
    };
    let manifest = one.manifest.as_ref();
    json!({
        "id": one.id,
        "proven": proven_at.is_some(),
        "standing": state,
        "proven_at": proven_at,
        "created_at": manifest.map(|manifest| stamp(manifest.created_at)),
        "age_secs": manifest.map(|manifest| (now - manifest.created_at).whole_seconds()),
        "reason": manifest.map(|manifest| manifest.reason.clone()),
        "bytes": manifest.map(Manifest::bytes),
        "schema_version": manifest.map(|manifest| manifest.schema_version),
        "version": manifest.and_then(|manifest| manifest.version.clone()),
    })
}

fn stamp(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

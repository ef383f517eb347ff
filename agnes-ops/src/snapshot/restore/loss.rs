//! What a restore would lose: rows that came or changed since the snapshot was made, by table.
//!
//! Always true: counted from a copy that is made for it and removed; what cannot be counted is told as such, never as nothing.
//!
//! Does not: keep anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::compare::since;
use super::super::manifest::Manifest;
use super::super::room::Room;
use super::super::{Surroundings, create, database, program, reader};
use super::{age_secs, is_there};
use crate::database::Figures;
use crate::deployment::Deployment;
use crate::served::ControlSocket;

/// What was found.
#[derive(Debug)]
pub struct Loss {
    age_secs: i64,
    /// Who was shut out since (`incident contain`), and would be let in again.
    contained: BTreeSet<String>,
    rows: Result<BTreeMap<String, i64>, String>,
}

/// Counts.
///
/// # Errors
/// When the host refuses; nothing was touched.
pub fn survey(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    manifest: &Manifest,
) -> Result<Loss> {
    let now = deployment.host.now();
    let rows = match is_there(deployment)? {
        false => Err("there is no database".to_owned()),
        true => figures(deployment, surroundings)?,
    };
    Ok(Loss {
        age_secs: age_secs(now, manifest),
        contained: contained_since(deployment, manifest.created_at),
        rows: rows.map(|tables| since(&manifest.tables, &tables.tables)),
    })
}

/// Whom the records of incidents name that began after `since`.
fn contained_since(deployment: Deployment<'_>, since: OffsetDateTime) -> BTreeSet<String> {
    let Deployment { host, settings, .. } = deployment;
    let directory = settings.state_dir.join("ops/incidents");
    let names = host.list(&directory).unwrap_or_default().into_iter();
    let records = names.filter_map(|name| {
        let bytes = host.read(&directory.join(name)).ok().flatten()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let of = |record: &Value, key: &str| Some(record.get(key)?.as_str()?.to_owned());
    records
        .filter(|record| of(record, "verb").as_deref() == Some("contain"))
        .filter(|record| of(record, "state").as_deref() != Some("failed"))
        .filter(|record| {
            let at = of(record, "at").and_then(|at| OffsetDateTime::parse(&at, &Rfc3339).ok());
            at.is_none_or(|at| at > since)
        })
        .filter_map(|record| of(&record, "principal"))
        .collect()
}

/// The figures of what is there now, by the server when it runs, else from a copy of the files.
fn figures(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
) -> Result<Result<Figures, String>> {
    let Deployment { host, settings, .. } = deployment;
    if ControlSocket::of(settings).get("/v1/state").is_ok() {
        let counted = create::counted(deployment, surroundings);
        return Ok(counted.map_err(|failed| failed.why));
    }
    let program = program(deployment, surroundings)?;
    let reader = reader(deployment, &program)?;
    let room = Room::make(deployment, "counted", reader.owner)?;
    let mut copied = Ok(());
    for suffix in ["", ".wal"] {
        let mut from = database(settings).into_os_string();
        from.push(suffix);
        let from = std::path::PathBuf::from(from);
        if host.size(&from)?.is_some() {
            let to = room.path.join(from.file_name().unwrap_or_default());
            copied = copied.and(host.copy(&from, &to, 0o600, reader.owner));
        }
    }
    let found = match copied {
        Ok(()) => reader.check(&room.path),
        Err(why) => Err(why.to_string()),
    };
    room.remove()?;
    Ok(found)
}

impl Loss {
    /// For people.
    pub fn text(&self, manifest: &Manifest) -> String {
        let mut lines = vec![format!(
            "{} was made {} ago: what was written since is lost to the server, and kept aside",
            manifest.id,
            span(self.age_secs)
        )];
        if !self.contained.is_empty() {
            let all: Vec<&str> = self.contained.iter().map(String::as_str).collect();
            lines.push(format!(
                "shut out since, and let in again by it: {}; agnes-ops incident contain, once more",
                all.join(", ")
            ));
        }
        match &self.rows {
            Err(why) => lines.push(format!("what is there now cannot be counted: {why}")),
            Ok(rows) if rows.is_empty() => lines.push("no table differs".to_owned()),
            Ok(rows) => lines.extend(rows.iter().map(|(table, more)| match more {
                0 => format!("{:>12}  {table}", "changed"),
                more => format!("{more:>+12}  {table}"),
            })),
        }
        lines.join("\n")
    }

    /// For programs.
    pub fn to_json(&self, manifest: &Manifest) -> Value {
        json!({
            "age_secs": self.age_secs,
            "since": manifest.created_at.format(&Rfc3339).ok(),
            "contained": self.contained,
            "rows": self.rows.as_ref().ok(),
            "unknown": self.rows.as_ref().err(),
        })
    }
}

fn span(secs: i64) -> String {
    match secs {
        ..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

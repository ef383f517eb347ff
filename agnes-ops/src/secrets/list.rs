//! `secrets list`: what there is, where from, how old, when due.
//!
//! Always true: of a value only its length is told.
//!
//! Does not: ask a source, or judge (`secrets check` does).

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::catalogue::{Managed, catalogue};
use super::env_file::EnvFile;
use super::generations::{Current, Generations, Kept};
use super::{DUE_AFTER_SECS, Lookup};
use crate::deployment::Deployment;
use crate::host::Host;
use crate::outcome::{Outcome, Report};

/// How old a secret is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    /// When the generation that counts was made, in seconds since 1970.
    pub(super) made_at: i64,
    /// Whether there was one before it.
    pub(super) rotated: bool,
}

impl Age {
    /// Of what is kept; `None`: there is nothing.
    pub(super) fn of(
        host: &Host,
        generations: &Generations,
        name: &str,
        kept: &Kept,
    ) -> Result<Option<Self>> {
        let Current::Sound { number, .. } = kept.current else {
            return Ok(None);
        };
        let path = generations.path(name, number);
        let made_at = host
            .modified_secs(&path)
            .with_context(|| format!("{}: look at", path.display()))?;
        Ok(Some(Self {
            made_at,
            rotated: kept.values.iter().any(|(earlier, _)| *earlier < number),
        }))
    }

    /// When it is to be rotated, in seconds since 1970.
    pub(super) fn due_at(self) -> i64 {
        self.made_at + DUE_AFTER_SECS
    }
}

/// Lists.
///
/// # Errors
/// When something cannot be looked at.
pub fn list(deployment: Deployment<'_>, lookup: Lookup<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let env_file = EnvFile::read(host, &settings.dir, lookup)?;
    let generations = Generations::new(&settings.state_dir);
    let now = host.now().unix_timestamp();
    let (mut listed, mut lines) = (Vec::new(), Vec::new());
    for managed in catalogue(settings, &env_file) {
        let kept = generations.read(host, &managed.name)?;
        let age = Age::of(host, &generations, &managed.name, &kept)?;
        let (value, line) = row(&managed, &kept, age, now);
        listed.push(value);
        lines.push(line);
    }
    Ok(Report::ok(Outcome::Unchanged, lines.join("\n")).detail("secrets", listed))
}

fn row(managed: &Managed, kept: &Kept, age: Option<Age>, now: i64) -> (Value, String) {
    let chars = kept.sound().map(|secret| secret.expose().chars().count());
    let state = match &kept.current {
        Current::Absent => "absent",
        Current::Damaged(_) => "damaged",
        Current::Sound { .. } => "ok",
    };
    let age_secs = age.map(|age| (now - age.made_at).max(0));
    let rotated_at = age.filter(|age| age.rotated).map(|age| age.made_at);
    let due = age.filter(|_| managed.source.is_none()).map(Age::due_at);
    let overdue = due.is_some_and(|due| due <= now);
    let value = json!({
        "name": managed.name,
        "state": state,
        "source": managed.origin(),
        "chars": chars,
        "length": chars,
        "age_secs": age_secs,
        "made_at": age.map(|age| stamp(age.made_at)),
        "rotated_at": rotated_at.map(stamp),
        "due_at": due.map(stamp),
        "overdue": overdue,
        "read_by": managed.readers(),
    });
    let days = |secs: i64| secs / (24 * 60 * 60);
    let line = match (chars, age_secs) {
        (Some(chars), Some(age_secs)) => {
            let due = match due {
                Some(_) if overdue => ", overdue".to_owned(),
                // a day that has begun counts: what was made a second ago is due in 90
                Some(due) => format!(", due in {} days", days(due - now - 1) + 1),
                None => String::new(),
            };
            format!(
                "{}: {chars} characters, {}, {} days old{due}; read by {}",
                managed.name,
                managed.origin(),
                days(age_secs),
                managed.readers().join(", ")
            )
        }
        _ => format!("{}: {state}, {}", managed.name, managed.origin()),
    };
    (value, line)
}

fn stamp(secs: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

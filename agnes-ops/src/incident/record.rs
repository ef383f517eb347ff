//! What was done in an incident, by whom: `$STATE_DIR/ops/incidents/`, for root's eyes.
//!
//! Always true: written before the act and after it, so that a run that was cut off has left one; never removed by us.
//!
//! Does not: stand in the way of the act: a disk that takes no record is told, and no more.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::deployment::Deployment;
use crate::outcome::{Outcome, Refusal, Report};
use crate::state_file;

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It was asked of the server; what came of it is not known.
    Begun,
    /// It was done and read back.
    Done,
    /// It was not done.
    Failed,
}

/// One act.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its name: time, verb, principal.
    id: String,
    /// RFC 3339, UTC.
    at: String,
    /// `contain`, `rate-limit`.
    verb: String,
    /// E-mail address.
    principal: String,
    /// The account of this host that did it.
    by: String,
    state: State,
    /// The principal before it.
    before: Value,
    /// What came of it.
    result: Value,
    #[serde(skip)]
    path: PathBuf,
    /// Why there is none on the disk.
    #[serde(skip)]
    unkept: Option<String>,
}

impl Record {
    /// Keeps that it begins.
    pub(super) fn begin(
        deployment: Deployment<'_>,
        verb: &str,
        principal: &str,
        by: &str,
        before: Value,
    ) -> Self {
        let Deployment { host, settings, .. } = deployment;
        let now = host.now();
        let stamp =
            format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:3]Z");
        let plain: String = principal
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "@._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .take(80)
            .collect();
        let id = format!("{}-{verb}-{plain}", now.format(&stamp).unwrap_or_default());
        let mut record = Self {
            at: now.format(&Rfc3339).unwrap_or_default(),
            verb: verb.to_owned(),
            principal: principal.to_owned(),
            by: by.to_owned(),
            state: State::Begun,
            before,
            result: Value::Null,
            path: directory(&settings.state_dir).join(format!("{id}.json")),
            id,
            unkept: None,
        };
        record.keep(deployment);
        record
    }

    /// Keeps how it ended, and tells it in the report.
    pub(super) fn end(
        mut self,
        deployment: Deployment<'_>,
        state: State,
        result: Value,
        report: Report,
    ) -> Report {
        (self.state, self.result) = (state, result);
        self.unkept = None;
        self.keep(deployment);
        let mut report = report.detail("record", json!(self.path));
        match self.unkept {
            None if report.text.is_empty() => {}
            None => report
                .text
                .push_str(&format!("\nrecord: {}", self.path.display())),
            Some(why) if report.refusal.is_none() => {
                report.exit = crate::outcome::Exit::Failed;
                let message = format!("it was done, and there is no record of it: {why}");
                report.refusal = Some(Refusal::new("not-recorded", message));
            }
            Some(why) => tracing::error!("there is no record of it: {why}"),
        }
        report
    }

    fn keep(&mut self, deployment: Deployment<'_>) {
        if let Err(why) = state_file::write_secret(deployment.host, &self.path, self) {
            self.unkept = Some(format!("{}: {why:#}", self.path.display()));
        }
    }
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("ops/incidents")
}

/// `incident list`: the newest first. One that is not understood is named.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(deployment: Deployment<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let directory = directory(&settings.state_dir);
    let mut names = host.list(&directory)?;
    names.retain(|name| name.ends_with(".json") && !name.starts_with('.'));
    names.sort_unstable_by(|a, b| b.cmp(a));
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    for name in names {
        match state_file::read::<Record>(host, &directory.join(&name)) {
            Ok(Some(record)) => {
                let state = json!(record.state);
                lines.push(format!(
                    "{}  {}  {}  {}  by {}",
                    record.at,
                    record.verb,
                    record.principal,
                    state.as_str().unwrap_or_default(),
                    record.by
                ));
                records.push(record);
            }
            Ok(None) => {}
            Err(why) => lines.push(format!("{why:#}")),
        }
    }
    if lines.is_empty() {
        lines.push("no incident was recorded here".to_owned());
    }
    Ok(Report::ok(Outcome::Unchanged, lines.join("\n")).detail("incidents", json!(records)))
}

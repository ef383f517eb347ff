//! The steps of an upgrade, in words: what each does, and what takes it back.
//!
//! Always true: in the order in which they are done, under the names that a run reports.
//!
//! Does not: do them (`swap` does).

use serde_json::{Value, json};

use super::transaction::Release;
use crate::outcome::{Outcome, Report, Step};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// As a run names it.
    pub name: String,
    /// What it does.
    pub does: &'static str,
    /// What takes it back.
    pub undo: &'static str,
}

impl Planned {
    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({"step": self.name, "does": self.does, "undo": self.undo})
    }
}

/// All of them, for an upgrade from one version to another.
pub fn of(from: &str, to: &str) -> Vec<Planned> {
    let step = |name: &str, does, undo| Planned {
        name: name.to_owned(),
        does,
        undo,
    };
    let named =
        |verb: &str, version: &str, does, undo| step(&format!("{verb} {version}"), does, undo);
    vec![
        step(
            "preflight",
            "the engine, Compose and its files, and room for the copies are looked at",
            "nothing was touched",
        ),
        named(
            "pull",
            to,
            "the image is brought by its digest; no tag moves",
            "it stays until a later run lets go of it",
        ),
        step(
            "keep both images",
            "a tag of ours and a container that is never started keep them from every prune",
            "the run after a later upgrade lets go of all but upgrade.keep_images",
        ),
        named(
            "stage host files",
            to,
            "what of the host comes with the version is laid beside what is there",
            "the run after a later upgrade removes it",
        ),
        step(
            "drain",
            "the server takes no further jobs; while some run, the upgrade waits",
            "it takes jobs again",
        ),
        step(
            "snapshot",
            "the server copies its database, and the copy is proven",
            "the snapshot stays",
        ),
        step(
            "rehearse",
            "the new version migrates and reads a copy of the snapshot, without network",
            "the copy is removed; nothing was stopped",
        ),
        step(
            "hold writes",
            "writes get 503 with Retry-After; reads go on",
            "writes go on",
        ),
        named(
            "stop",
            from,
            "the old version ends, with its write-ahead log folded in",
            "it is started again, and passes the gate",
        ),
        step(
            "copy the stopped database",
            "the file is copied beside it, and both are compared",
            "the copy is put back, unless writes had been released",
        ),
        named(
            "host files",
            to,
            "current names them, and the version's own program renders the stack's files, shown to Compose first",
            "current names those of the old version, whose program renders them again",
        ),
        named(
            "start",
            to,
            "docker-compose.pin.yml names the new version, and Compose starts it",
            "the pin names the old version again",
        ),
        step(
            "gate",
            "this container is ready, has written, read and deleted a row, and stays so for upgrade.gate.stable_for",
            "the old version is put back, and passes the same gate",
        ),
        step(
            "release writes",
            "writes go on: at the first look that passes, or after the gate when the data was migrated",
            "none: what is written from here on never goes back, only the image does",
        ),
        step(
            "commit",
            "the proof is kept in the history, and the copy of the stopped database is removed",
            "agnes-ops upgrade rollback",
        ),
    ]
}

/// What `--dry-run` says.
pub fn planned(from: &str, to: &Release) -> Report {
    let steps = of(from, to.short());
    let text: Vec<String> = steps
        .iter()
        .map(|step| format!("would {}", step.name))
        .collect();
    let mut report = Report::ok(Outcome::Unchanged, text.join("\n"));
    report.steps = steps
        .into_iter()
        .map(|step| Step::planned(step.name))
        .collect();
    report
}

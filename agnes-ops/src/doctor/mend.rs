//! `doctor --fix`: what is safe to mend by itself, by the commands that do it anyway.
//!
//! Always true: only causes are mended; each command journals and records as it does by itself; nothing is deleted, restarted or decided.
//!
//! Does not: mend what a person has to decide.

use std::time::Instant;

use anyhow::Result;

use super::{Diagnosis, Finding};
use crate::outcome::{Outcome, Report, Step};

/// A command of this program.
pub type Command<'a> = &'a dyn Fn() -> Result<Report>;

/// A command, what it is called, and whether it mends a finding of this id.
type Remedy<'a> = (&'static str, Command<'a>, fn(&str) -> bool);

/// What can be done.
pub struct Hands<'a> {
    /// `secrets ensure`.
    pub secrets: Command<'a>,
    /// `tls rotate`, which makes a pair only where one is to be served.
    pub certificates: Command<'a>,
    /// `tls reload`.
    pub reload: Command<'a>,
    /// `units install`.
    pub units: Command<'a>,
    /// The directories' owners and modes.
    pub directories: Command<'a>,
    /// The private key's mode.
    pub key_mode: Command<'a>,
    /// Looks again, with the settings as they are then.
    pub again: &'a dyn Fn() -> Diagnosis,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Mended {
    /// Each command that was run.
    pub steps: Vec<Step>,
    said: Vec<String>,
    changed: bool,
    /// What was tried and did not get there.
    pub(super) failed: Vec<String>,
}

impl Mended {
    /// Whether a command was run.
    pub(super) fn tried(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether one changed something.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.said.clone()
    }
}

/// Mends the causes that can be.
pub(super) fn mend(diagnosis: &Diagnosis, hands: &Hands<'_>) -> Mended {
    let all: [Remedy<'_>; 6] = [
        ("set owners and modes", hands.directories, |id| {
            id == "files.owner"
        }),
        ("secrets ensure", hands.secrets, of_secrets),
        ("set the key's mode", hands.key_mode, |id| {
            id == "tls.key-mode"
        }),
        ("tls rotate", hands.certificates, |id| {
            ["tls.missing", "tls.pair", "tls.layout", "tls.open"].contains(&id)
        }),
        ("tls reload", hands.reload, |id| id == "tls.served"),
        ("units install", hands.units, |id| {
            id.starts_with("units.") && id != "units.failed"
        }),
    ];
    let mut mended = Mended::default();
    for (name, command, mends) in all {
        let is_due = |finding: &Finding| finding.because.is_none() && mends(finding.id);
        if diagnosis.findings.iter().any(is_due) {
            mended.run(name, command);
        }
    }
    mended
}

/// What `secrets ensure` puts right; a rotation is a person's decision.
fn of_secrets(id: &str) -> bool {
    [
        "secrets.missing",
        "secrets.damaged",
        "secrets.short",
        "secrets.placeholder",
        "secrets.env-missing",
        "secrets.env-differs",
        "secrets.live-differs",
        "secrets.readable",
    ]
    .contains(&id)
}

impl Mended {
    fn run(&mut self, name: &str, command: Command<'_>) {
        let begun = Instant::now();
        let ran = command();
        self.changed |= matches!(&ran, Ok(report) if report.outcome == Outcome::Changed);
        let (result, said) = match ran {
            Ok(Report {
                refusal: Some(refusal),
                ..
            }) => ("failed", refusal.message),
            Ok(report) => (
                "done",
                report.text.lines().next().unwrap_or_default().to_owned(),
            ),
            Err(why) => ("failed", format!("{why:#}")),
        };
        let line = format!("{name}: {result}: {said}");
        if result == "failed" {
            self.failed.push(line.clone());
        }
        self.said.push(line);
        self.steps.push(Step {
            name: name.to_owned(),
            result: result.to_owned(),
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

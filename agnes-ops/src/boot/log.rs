//! How the steps of a boot ended, and what is told of them.
//!
//! Always true: the first failure is the one that is told; the steps after one that others need are named as not reached.
//!
//! Does not: run a step.

use serde_json::{Map, Value};

use crate::outcome::{Exit, Outcome, Refusal, Report, Step};

/// How one step ended.
pub enum Done {
    /// It was as it should be.
    Unchanged(String),
    /// What was done.
    Changed(String),
    /// What would be.
    Planned(String),
    /// It is not for this host, or not now.
    Skipped(String),
    /// It failed, and those after it can do without.
    Failed(Refusal),
}

/// It failed, and those after it need it.
pub type Stop = Refusal;

/// What is told at the end.
#[derive(Default)]
pub struct Log {
    steps: Vec<Step>,
    lines: Vec<String>,
    said: Map<String, Value>,
    changed: bool,
    failed: Option<(&'static str, Refusal)>,
}

impl Log {
    /// One that was not run, or has ended.
    pub fn step(&mut self, name: &str, result: &str, took_ms: u64, said: String) {
        let mut line = format!("{name:<14} {result}");
        if !said.is_empty() {
            line.push_str(": ");
            line.push_str(&said);
            self.said.insert(name.to_owned(), said.into());
        }
        self.lines.push(line);
        self.steps.push(Step {
            name: name.to_owned(),
            result: result.to_owned(),
            took_ms,
        });
    }

    /// One has ended.
    pub fn ended(&mut self, name: &'static str, ended: Result<Done, Stop>, took_ms: u64) {
        let (result, said) = match ended {
            Ok(Done::Unchanged(said)) => ("unchanged", said),
            Ok(Done::Changed(said)) => {
                self.changed = true;
                ("done", said)
            }
            Ok(Done::Planned(said)) => ("planned", said),
            Ok(Done::Skipped(said)) => ("skipped", said),
            Ok(Done::Failed(refusal)) | Err(refusal) => {
                let said = refusal.message.clone();
                self.failed.get_or_insert((name, refusal));
                ("failed", said)
            }
        };
        self.step(name, result, took_ms, said);
    }

    /// All of it.
    pub fn report(self, dry_run: bool) -> Report {
        let outcome = if self.changed && !dry_run {
            Outcome::Changed
        } else {
            Outcome::Unchanged
        };
        let mut report = Report::ok(outcome, self.lines.join("\n"));
        report.steps = self.steps;
        report.details.insert("said".into(), self.said.into());
        if let Some((step, mut refusal)) = self.failed {
            refusal.message = format!(
                "{step}: {}; the steps before it are done, and the next boot goes on",
                refusal.message
            );
            report.exit = Exit::Failed;
            report.details.insert("failed_step".into(), step.into());
            report.refusal = Some(refusal);
        }
        report
    }
}

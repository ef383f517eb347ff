//! What a rotation says of itself.
//!
//! Always true: it names generations, times and callers, never a value.
//!
//! Does not: decide or change anything.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::side_cars::{self, Containers};
use super::Work;
use super::proof::Proof;
use super::rotation::{Kind, Phase, Rotation};
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};

impl Work<'_> {
    pub(super) fn refuse(&self, reason: &str, what: &str, hint: &str) -> Report {
        let message = format!("{}: {what}", self.kind.name());
        Report::refused(Exit::Failed, Refusal::new(reason, message).hint(hint))
    }

    pub(super) fn planned(&self, rotation: &Rotation) -> Report {
        let name = self.kind.name();
        let steps = match rotation.phase {
            Phase::Staging => vec![
                format!("make generation {} of {name}", rotation.new),
                "write live files".to_owned(),
                "tell the server".to_owned(),
                "write .env".to_owned(),
                "prove".to_owned(),
            ],
            Phase::Waiting | Phase::Retiring => vec![
                format!("take generation {} away", rotation.old),
                "tell the server".to_owned(),
                "prove".to_owned(),
            ],
        };
        let text: Vec<String> = steps.iter().map(|step| format!("would {step}")).collect();
        let mut report = Report::ok(Outcome::Unchanged, text.join("\n"));
        report.details = self.details(rotation, rotation.phase.word());
        report.steps = steps.into_iter().map(Step::planned).collect();
        report
    }

    pub(super) fn deferred(
        &mut self,
        rotation: &Rotation,
        reason: &str,
        message: String,
        callers: &[Value],
    ) -> Report {
        let mut refusal = Refusal::new(reason, message);
        // what cannot be seen is no reason to hide who the callers are
        let found = match (
            Containers::look(self.host, self.settings),
            self.value(rotation.new),
        ) {
            (Ok(containers), Ok(new)) => containers.with(self.kind.name(), &new),
            _ => Vec::new(),
        };
        let behind = side_cars::not_moved(&found);
        if !behind.is_empty() {
            refusal = refusal.hint(side_cars::command(&behind));
        }
        let mut report = Report::refused(Exit::Deferred, refusal);
        report.details = self.details(rotation, "waiting");
        report
            .detail("not_moved", callers)
            .detail("side_cars", side_cars::to_json(&found))
    }

    pub(super) fn report(
        &mut self,
        rotation: &Rotation,
        phase: &str,
        proof: &Proof,
        outcome: Outcome,
    ) -> Report {
        let name = self.kind.name();
        let (new, old) = (rotation.new, rotation.old);
        let text = match (phase, rotation.kind) {
            ("waiting", Kind::Scheduler) => {
                format!(
                    "{name}: generation {new} counts, generation {old} is accepted until its callers have moved"
                )
            }
            ("waiting", _) => format!(
                "{name}: generation {new} signs, generation {old} is still accepted until {}",
                stamp(rotation.retire_after)
            ),
            _ if proof.holds() => {
                format!("{name}: generation {new} counts, generation {old} is refused")
            }
            _ => {
                let old_is = match rotation.beside() {
                    Some(_) => "beside it",
                    None => "gone from them",
                };
                format!("{name}: generation {new} is first in the files, generation {old} {old_is}")
            }
        };
        let text = format!("{text}; {}", proof.sentence());
        let mut report = Report::ok(outcome, text);
        report.details = self.details(rotation, phase);
        report.details.insert("proof".to_owned(), proof.to_json());
        if rotation.at_once {
            report
                .details
                .insert("invalidated".to_owned(), json!([self.kind.signs()]));
        }
        if let Some(way) = self.told {
            report.details.insert("told".to_owned(), way.into());
        }
        let steps = std::mem::replace(&mut self.steps, Steps::begin(self.host.instant()));
        report.steps = steps.into_vec();
        report
    }

    pub(super) fn details(&self, rotation: &Rotation, phase: &str) -> Map<String, Value> {
        let Value::Object(details) = json!({
            "secret": self.kind.name(),
            "phase": phase,
            "old_generation": rotation.old,
            "new_generation": rotation.new,
            "at_once": rotation.at_once,
            "rollback": rotation.value_of.is_some(),
            "started_at": stamp(rotation.started_at),
            "retire_after": stamp(rotation.retire_after),
        }) else {
            return Map::new();
        };
        details
    }
}

fn stamp(secs: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

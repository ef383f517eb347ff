//! The words and numbers every command ends with.
//!
//! Always true: an exit code means what the table in `--help` says; a report holds no secret.
//!
//! Does not: print (that is `run`) or decide (that is each command).

use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

/// What happened to the host; the only words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was written.
    Unchanged,
    /// Something was, and it was proven or needed no proof.
    Changed,
    /// Not now; nothing was touched.
    Deferred,
    /// Changed, not provable, and undone.
    RolledBack,
    /// The way back failed too.
    Degraded,
}

impl Outcome {
    /// The word in JSON and in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Changed => "changed",
            Outcome::Deferred => "deferred",
            Outcome::RolledBack => "rolled-back",
            Outcome::Degraded => "degraded",
        }
    }
}

/// The process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The host is as desired.
    Ok = 0,
    /// Did not get there; the host is as before.
    Failed = 1,
    /// The command line is wrong; nothing was begun.
    Usage = 2,
    /// Only from `check` and `status`: there is work or a finding.
    Drift = 10,
    /// Another run holds the lock; the next tick retries.
    Deferred = 75,
    /// The settings are invalid.
    Config = 78,
    /// A person is needed; the message says how the host was left.
    Degraded = 100,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// One thing that was done, or would be under `--dry-run`.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What, as an imperative: `install generation 3`.
    pub name: String,
    /// `done` or `planned`.
    pub result: String,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// Steps as they are done, each timed from the end of the one before it.
#[derive(Debug)]
pub struct Steps {
    done: Vec<Step>,
    last: Instant,
}

impl Steps {
    /// None yet; the first is timed from now.
    pub fn begin(now: Instant) -> Self {
        Self {
            done: Vec::new(),
            last: now,
        }
    }

    /// One was done.
    pub fn done(&mut self, name: impl Into<String>, now: Instant) {
        let took = now.duration_since(self.last);
        self.last = now;
        self.done.push(Step {
            name: name.into(),
            result: "done".into(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Was none done?
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Step> {
        self.done
    }
}

impl Step {
    /// One that `--dry-run` only names.
    pub fn planned(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            result: "planned".into(),
            took_ms: 0,
        }
    }
}

/// Why a command did not get there.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// All codes that apply, the most telling first.
    pub reasons: Vec<String>,
    /// One line: the object, the operation, what was left on the host.
    pub message: String,
    /// One line: what to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal with one reason.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reasons: vec![reason.to_owned()],
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All that a command has to say.
#[derive(Debug, Clone)]
pub struct Report {
    /// What happened to the host.
    pub outcome: Outcome,
    /// The exit code.
    pub exit: Exit,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// The command's own fields.
    pub details: Map<String, Value>,
    /// For people, on stdout; may have several lines.
    pub text: String,
    /// Set when `exit` is neither ok nor drift.
    pub refusal: Option<Refusal>,
    /// Bytes for stdout instead of `text`, wiped when dropped; never in JSON.
    pub body: Option<zeroize::Zeroizing<Vec<u8>>>,
    /// What the next run of the same command wants to remember.
    pub memory: Option<Value>,
}

impl Report {
    /// A report that ends well.
    pub fn ok(outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            exit: Exit::Ok,
            steps: Vec::new(),
            details: Map::new(),
            text: text.into(),
            refusal: None,
            body: None,
            memory: None,
        }
    }

    /// A report that does not, with the host as it was before.
    pub fn refused(exit: Exit, refusal: Refusal) -> Self {
        let outcome = match exit {
            Exit::Deferred => Outcome::Deferred,
            Exit::Degraded => Outcome::Degraded,
            Exit::Ok | Exit::Failed | Exit::Usage | Exit::Drift | Exit::Config => {
                Outcome::Unchanged
            }
        };
        Self {
            outcome,
            exit,
            refusal: Some(refusal),
            ..Self::ok(Outcome::Unchanged, "")
        }
    }

    /// Adds one field of the command's own.
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The one object that `--json` prints and the status record holds.
    pub fn to_json(&self, command: &str, took_ms: u64) -> Value {
        let mut details = self.details.clone();
        if let Some(refusal) = &self.refusal {
            details.insert("reason".into(), refusal.reasons.first().cloned().into());
            details.insert("reasons".into(), refusal.reasons.clone().into());
            details.insert("message".into(), refusal.message.clone().into());
            if let Some(hint) = &refusal.hint {
                details.insert("hint".into(), hint.clone().into());
            }
        }
        serde_json::json!({
            "command": command,
            "outcome": self.outcome.as_str(),
            "exit": self.exit.code(),
            "steps": self.steps,
            "took_ms": took_ms,
            "details": details,
        })
    }
}

/// The text as one line that cannot speak to a terminal: what a certificate, a file or a server says is shown, not obeyed.
pub fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text whose lines are our own.
pub fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if !kept(c) && (c.is_control() || reorders(c)) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Line separators and the marks that change the direction of what follows.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_keeps_its_letters_and_loses_its_commands() {
        assert_eq!(one_line("Jürgen, 東京"), "Jürgen, 東京");
        assert_eq!(
            one_line("a\nhint: b\u{1b}[2J\r\u{9b}\u{202e}\u{7f}"),
            "a\\nhint: b\\u{1b}[2J\\r\\u{9b}\\u{202e}\\u{7f}"
        );
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }
}

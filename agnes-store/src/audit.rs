//! The audit log: who did what to what, from where, and how it ended.
//!
//! Always true: a row is durable with the act that it is about; texts from outside are escaped and capped before they are
//! stored (A10); rows are never changed.
//!
//! Does not: decide what is worth a row.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::Id;

pub mod anchor;
pub(crate) mod chain;
pub mod cursor;
pub(crate) mod key;
pub mod query;
pub(crate) mod resume;
pub mod verify;
pub(crate) mod witness;

/// The longest text from outside that a row keeps, in characters.
const LONGEST: usize = 256;

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// E-mail of the user, or `anonymous`, `server`, `control-socket`.
    pub actor: String,
    /// Client address; empty where there is none.
    pub ip: String,
    /// As the client says it.
    pub user_agent: String,
    /// The request's id; empty where there is none.
    pub request_id: String,
    /// Who it is on this host, where the kernel says so: `uid` and `pid` of the row's metadata.
    pub process: Option<Process>,
    /// As what the caller was let in; `None`: nobody was asked for a credential.
    pub standing: Option<Standing>,
}

/// As what a caller was let in: an act of somebody who was shut out, or whose password was changed, meanwhile does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub user: Id,
    /// Of the user when the credential was judged.
    pub epoch: i64,
    /// What was shown.
    pub by: By,
}

/// What a caller showed, which has to be there still when its act happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A session.
    Session(Id),
    /// A personal token.
    Token(Id),
    /// What does not end but with the user.
    Other,
}

/// A process of this host, as the kernel names the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// As whom it runs.
    pub uid: u32,
    /// `None` where the kernel cannot see it: it is of another pid namespace.
    pub pid: Option<i32>,
}

impl Origin {
    /// The server itself.
    pub fn server() -> Self {
        Self {
            actor: "server".to_owned(),
            ip: String::new(),
            user_agent: String::new(),
            request_id: String::new(),
            process: None,
            standing: None,
        }
    }
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and did not succeed.
    Failure,
    /// It was not permitted.
    Denied,
}

impl Outcome {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
        }
    }
}

/// What a row says beside its origin.
#[derive(Debug, Clone)]
pub struct Event {
    /// `user.created`, `token.issued`, …
    pub action: &'static str,
    /// `user:<email>`, `token:<id>`, …; may hold text from outside.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How many refusals share this row; 1 otherwise.
    pub count: i64,
    /// Anything else, never a secret.
    pub metadata: Map<String, Value>,
}

impl Event {
    /// Something that was done.
    pub fn done(action: &'static str, resource: impl Into<String>) -> Self {
        Self {
            action,
            resource: resource.into(),
            outcome: Outcome::Success,
            count: 1,
            metadata: Map::new(),
        }
    }

    /// The same with another outcome.
    pub fn ended(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same with one more detail.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}

/// One row as it is read back.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub id: Id,
    /// Its place in the chain; 0: not written yet (see [`crate::Store::refused`]).
    pub seq: i64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// How it ended: `success`, `failure`, `denied`.
    pub outcome: String,
    /// From where.
    pub ip: String,
    /// With what.
    pub user_agent: String,
    /// In which request.
    pub request_id: String,
    /// How many events share the row.
    pub count: i64,
    /// A JSON object.
    pub metadata: Value,
}

/// `text` on one line without control characters and not too long: what a stranger sends must not forge a log line.
pub(crate) fn tame(text: &str) -> String {
    let mut tamed: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let escape = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if escape {
                c.escape_unicode().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        tamed.push('…');
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_text_from_outside_is_escaped_and_capped() {
        assert_eq!(tame("plain ä"), "plain ä");
        assert_eq!(tame("a\r\nb\u{1b}[0m"), "a\\u{d}\\u{a}b\\u{1b}[0m");
        assert_eq!(tame("\u{202e}x"), "\\u{202e}x");
        assert_eq!(tame(&"x".repeat(300)).chars().count(), LONGEST + 1);
    }
}

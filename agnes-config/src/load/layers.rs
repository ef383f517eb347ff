//! What has been read so far: for each key the text of the highest layer, and where it stood.
//!
//! Always true: layers are put in low to high, so that the last one stays; an empty text changes nothing.
//!
//! Does not: parse values.

use std::collections::BTreeMap;

use super::{Problem, Source};
use crate::env_keys::Key;
use crate::settings::ReloadWay;

/// A text that somebody wrote for a key.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// As written; of a secret only `<set, 64 chars>`.
    pub(super) text: String,
    pub(super) source: Source,
    /// The key as it stands there: the environment's name, or the path in `agnes.toml`.
    pub(super) written: String,
    /// It is already known to be wrong (not of a type that can hold the value).
    pub(super) problem: Option<String>,
}

/// `[[tls.reload]]` of the highest file that has it.
#[derive(Debug)]
pub(super) struct Reload {
    /// The sound entries, in order.
    pub(super) ways: Vec<ReloadWay>,
    pub(super) source: Source,
    /// The first problem of it, which is in `problems` too.
    pub(super) problem: Option<String>,
}

/// All layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) raws: BTreeMap<&'static str, Raw>,
    pub(super) reload: Option<Reload>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Layers {
    /// Puts a text over what lower layers said; empty means not set.
    pub(super) fn put(&mut self, key: &Key, written: &str, text: &str, source: Source) {
        if text.is_empty() {
            return;
        }
        let text = if key.is_secret() {
            format!("<set, {} chars>", text.chars().count())
        } else {
            text.to_owned()
        };
        let raw = Raw {
            text,
            source,
            written: written.to_owned(),
            problem: None,
        };
        self.raws.insert(key.name(), raw);
    }

    /// Puts something that is already known to be wrong.
    pub(super) fn put_wrong(&mut self, key: &Key, raw: Raw) {
        self.raws.insert(key.name(), raw);
    }

    pub(super) fn problem(
        &mut self,
        source: Source,
        key: Option<&str>,
        message: impl Into<String>,
    ) {
        self.problems.push(problem(source, key, message));
    }

    pub(super) fn warn(&mut self, source: Source, key: Option<&str>, message: impl Into<String>) {
        self.warnings.push(problem(source, key, message));
    }
}

/// A problem on one line, whatever the message quotes.
pub(super) fn problem(source: Source, key: Option<&str>, message: impl Into<String>) -> Problem {
    let one_line = |text: String| text.replace(|c: char| c.is_control(), " ");
    Problem {
        source,
        key: key.map(|key| one_line(key.to_owned())),
        message: one_line(message.into()),
    }
}

//! What has been read so far: for each key the text of the highest layer, and where it stood.
//!
//! Always true: layers are put in low to high, so that the last one stays; an empty text changes nothing, but for the
//! one key whose emptiness says something; of a secret the text for people is its length.
//!
//! Does not: parse values.

use std::collections::BTreeMap;

use super::{Problem, Source};
use crate::env_keys::Key;
use crate::secret::Secret;
use crate::settings::{Provision, ReloadWay};
use crate::values::job::Draft;

/// A text that somebody wrote for a key.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// As written; of a secret only `<set, 64 chars>`.
    pub(super) text: String,
    /// The secret itself.
    pub(super) secret: Option<Secret>,
    pub(super) source: Source,
    /// The key as it stands there: the environment's name, or the path in `agnes.toml`.
    pub(super) written: String,
    /// It is already known to be wrong (not of a type that can hold the value).
    pub(super) problem: Option<String>,
}

/// A list of tables, such as `[[tls.reload]]`, of the highest file that has it.
#[derive(Debug)]
pub(super) struct List<T> {
    /// The sound entries, in order.
    pub(super) items: Vec<Item<T>>,
    pub(super) source: Source,
    /// The first problem of it, which is in `problems` too.
    pub(super) problem: Option<String>,
}

/// One table of a list.
#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) value: T,
    /// `jobs[0]`.
    pub(super) path: String,
    pub(super) source: Source,
}

/// All layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) raws: BTreeMap<&'static str, Raw>,
    pub(super) reload: Option<List<ReloadWay>>,
    pub(super) jobs: Option<List<Draft>>,
    /// `[secrets.NAME]` by the secret's name.
    pub(super) provisions: BTreeMap<String, Item<Provision>>,
    /// What the jobs' `token_env` name; an error says why there is none.
    pub(super) credentials: BTreeMap<String, Result<Secret, String>>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// What is wrong for the server alone.
    pub(super) server_problems: Vec<Problem>,
}

impl Layers {
    /// Puts a text over what lower layers said; empty means not set, for most keys.
    pub(super) fn put(&mut self, key: &Key, written: &str, text: &str, source: Source) {
        let text = match text {
            "" if key.empty_is_a_value() => "off",
            "" => return,
            text => text,
        };
        let secret = key.is_secret().then(|| Secret::new(text));
        let raw = Raw {
            text: secret.as_ref().map_or(text.to_owned(), Secret::masked),
            secret,
            source,
            written: written.to_owned(),
            problem: None,
        };
        self.raws.insert(key.name(), raw);
    }

    /// Forgets what lower layers said.
    pub(super) fn clear(&mut self, key: &Key) {
        self.raws.remove(key.name());
    }

    /// The variables that jobs name.
    pub(super) fn token_envs(&self) -> Vec<String> {
        let items = self.jobs.iter().flat_map(|jobs| &jobs.items);
        items
            .filter_map(|item| item.value.token_env.clone())
            .collect()
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

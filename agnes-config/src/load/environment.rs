//! The layers of `NAME=value`: `.env`, the process environment, flags, and the files that secrets are in.
//!
//! Always true: keys that are not ours are left alone; a secret's text goes into a `Secret` and nowhere else.
//!
//! Does not: know the values' shapes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use zeroize::Zeroizing;

use super::layers::{Layers, Raw, problem as problem_of};
use super::{Source, file};
use crate::dotenv;
use crate::env_keys::{self, KEYS, Key};
use crate::secret::Secret;
use crate::values::quoted;

/// The deployment's own file.
const ENV: &str = ".env";
/// In the environment: the file that is read in place of the directory's `.env`.
const ENV_FILE: &str = "AGNES_ENV_FILE";

/// The environment of the process, as the caller passed it in.
pub(super) struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            variables: variables
                .into_iter()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?;
        Some(value.to_string_lossy().into_owned())
    }
}

/// Puts all of these layers in, low to high.
pub(super) fn read_all(
    dir: &Path,
    environment: &Environment,
    flags: &[(&str, String)],
    layers: &mut Layers,
) {
    let entries = dotenv_entries(dir, environment, layers);
    put_all(dir, entries, environment, flags, layers);
}

/// As [`read_all`] without flags, where `.env` says this.
pub(super) fn read_as_if(
    dir: &Path,
    dotenv: &[u8],
    environment: &Environment,
    layers: &mut Layers,
) {
    let entries = entries(dotenv, ENV, environment, layers);
    put_all(dir, entries, environment, &[], layers);
}

fn put_all(
    dir: &Path,
    dotenv: Vec<(String, String, Source)>,
    environment: &Environment,
    flags: &[(&str, String)],
    layers: &mut Layers,
) {
    let mut files: BTreeMap<&'static str, (String, Source)> = BTreeMap::new();
    let mut put = |name: &str, text: &str, source: Source, layers: &mut Layers| -> bool {
        if let Some(key) = env_keys::by_env(name) {
            layers.put(key, name, text, source);
        } else if let Some(key) = env_keys::by_secret_file(name) {
            if !text.is_empty() {
                files.insert(key.name(), (text.to_owned(), source));
            }
        } else {
            return false;
        }
        true
    };
    let wanted = layers.token_envs();
    let mut credentials = Credentials::new(&wanted);
    for (name, text, source) in dotenv {
        if !put(&name, &text, source.clone(), layers) && !credentials.offer(&name, &text) {
            warn_near_miss(&name, source, layers);
        }
    }
    for (name, value) in &environment.variables {
        match value.to_str() {
            Some(text) => {
                credentials.offer(name, text);
                put(name, text, Source::Environment, layers);
            }
            None if env_keys::by_env(name).is_some() => {
                layers.problem(
                    Source::Environment,
                    Some(name),
                    "is not UTF-8 (expected text)",
                );
            }
            None => {}
        }
    }
    layers.credentials = credentials.look_up(dir);
    for (name, text) in flags {
        if !put(name, text, Source::Flag, layers) {
            layers.problem(Source::Flag, Some(name), "is no setting");
        }
    }
    for (name, (path, source)) in files {
        if let Some(key) = env_keys::by_env(name) {
            secret_file(dir, key, &path, source, layers);
        }
    }
}

/// The entries of `.env` that count, each key once, and its faults as problems.
fn dotenv_entries(
    dir: &Path,
    environment: &Environment,
    layers: &mut Layers,
) -> Vec<(String, String, Source)> {
    // a service manager can hand the file to a user who may not read it where it is
    let elsewhere = environment.get(ENV_FILE).filter(|path| !path.is_empty());
    let name = elsewhere.as_deref().unwrap_or(ENV);
    let whole = || Source::File {
        name: name.to_owned(),
        line: None,
    };
    match file::read(&dir.join(name)) {
        // named on purpose, so its absence is no default
        Ok(None) if elsewhere.is_some() => {
            layers.problem(whole(), Some(ENV_FILE), "there is no such file");
            Vec::new()
        }
        Ok(bytes) => entries(&bytes.unwrap_or_default(), name, environment, layers),
        Err(message) => {
            layers.problem(whole(), None, message);
            Vec::new()
        }
    }
}

/// The entries of a file with these bytes.
fn entries(
    bytes: &[u8],
    name: &str,
    environment: &Environment,
    layers: &mut Layers,
) -> Vec<(String, String, Source)> {
    let at = |line: Option<usize>| Source::File {
        name: name.to_owned(),
        line,
    };
    let parsed = dotenv::parse(bytes, &|name| environment.get(name));
    for fault in &parsed.faults {
        layers.problem(
            at(Some(fault.line)),
            fault.key.as_deref(),
            fault.message.clone(),
        );
    }
    let mut entries = Vec::new();
    for (index, entry) in parsed.entries.iter().enumerate() {
        let source = at(Some(entry.line));
        if let Some(later) = parsed
            .entries
            .iter()
            .skip(index + 1)
            .find(|e| e.key == entry.key)
        {
            if env_keys::by_env(&entry.key).is_some() {
                let message = format!(
                    "is given again in line {}, which is the one that counts",
                    later.line
                );
                layers.warn(source, Some(&entry.key), message);
            }
            continue;
        }
        if !entry.unset.is_empty() && env_keys::by_env(&entry.key).is_some() {
            let message = "has a variable that is not set and reads as empty (a literal dollar is written $$, or the value in single quotes)";
            layers.warn(source.clone(), Some(&entry.key), message);
        }
        let source = if entry.inherited {
            Source::Environment
        } else {
            source
        };
        entries.push((entry.key.clone(), entry.value.clone(), source));
    }
    entries
}

/// A key of `.env` that is not ours and looks as if it should be. Other programs read that file, so it is no problem.
fn warn_near_miss(name: &str, source: Source, layers: &mut Layers) {
    let near = |candidate: &str| {
        let distance = strsim::damerau_levenshtein(candidate, &name.to_ascii_uppercase());
        (distance <= 2).then_some(distance)
    };
    let best = KEYS
        .iter()
        .filter_map(|key| key.env)
        .filter_map(|candidate| Some((near(candidate)?, candidate)))
        .min();
    if let Some((_, candidate)) = best {
        let message = format!("is no setting of ours; did you mean {candidate}?");
        layers.warn(source, Some(name), message);
    }
}

/// What jobs name as their credentials: a variable, or the file that `<NAME>_FILE` names, which beats it.
struct Credentials<'a> {
    wanted: &'a [String],
    values: BTreeMap<String, Secret>,
    files: BTreeMap<String, String>,
}

impl<'a> Credentials<'a> {
    fn new(wanted: &'a [String]) -> Self {
        Self {
            wanted,
            values: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Keeps a variable that a job names; says whether it is one. Empty means not set.
    fn offer(&mut self, name: &str, text: &str) -> bool {
        let wanted = |name: &str| self.wanted.iter().any(|wanted| wanted == name);
        let of_file = name.strip_suffix("_FILE").filter(|name| wanted(name));
        if wanted(name) {
            if !text.is_empty() {
                self.values.insert(name.to_owned(), Secret::new(text));
            }
        } else if let Some(name) = of_file {
            if !text.is_empty() {
                self.files.insert(name.to_owned(), text.to_owned());
            }
        } else {
            return false;
        }
        true
    }

    fn look_up(mut self, dir: &Path) -> BTreeMap<String, Result<Secret, String>> {
        let look = |name: &String| {
            let secret = match self.files.get(name) {
                Some(path) => read_secret(dir, path)
                    .and_then(Found::secret)
                    .map_err(|what| {
                        format!(
                            "names {name}, and the file {} of {name}_FILE {what}",
                            quoted(path)
                        )
                    }),
                None => self.values.remove(name).ok_or_else(|| {
                    format!("names {name}, which is set neither in the environment nor in .env")
                }),
            };
            (name.clone(), secret)
        };
        let mut names = self.wanted.to_vec();
        names.sort();
        names.dedup();
        names.iter().map(look).collect()
    }
}

/// What the file of a secret holds.
enum Found {
    Absent,
    Empty,
    Secret(Secret),
}

impl Found {
    /// The secret that had to be there.
    fn secret(self) -> Result<Secret, String> {
        match self {
            Self::Absent => Err("does not exist".to_owned()),
            Self::Empty => Err("is empty (expected the secret)".to_owned()),
            Self::Secret(secret) => Ok(secret),
        }
    }
}

/// What is in a file, without the newline at its end.
fn read_secret(dir: &Path, path: &str) -> Result<Found, String> {
    let Some(bytes) = file::read(&dir.join(path))?.map(Zeroizing::new) else {
        return Ok(Found::Absent);
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 (expected text)")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(match text {
        "" => Found::Empty,
        text => Found::Secret(Secret::new(text)),
    })
}

/// A secret from the file that `<NAME>_FILE` names. That file was asked for, so its absence is a problem; but for a
/// previous key, whose file rotation removes or empties. Lower layers are not asked then: a retired key stays retired.
fn secret_file(dir: &Path, key: &'static Key, path: &str, source: Source, layers: &mut Layers) {
    let problem = match read_secret(dir, path) {
        Ok(Found::Absent | Found::Empty) if key.is_previous() => return layers.clear(key),
        found => match found.and_then(Found::secret) {
            Ok(secret) => {
                let name = path.to_owned();
                let source = Source::File { name, line: None };
                return layers.put(key, key.name(), secret.expose(), source);
            }
            Err(problem) => problem,
        },
    };
    let name = format!("{}_FILE", key.name());
    let message = format!("the file {} {problem}", quoted(path));
    // of the server's alone: whoever is to mend that file needs settings
    let told = problem_of(source.clone(), Some(&name), message.clone());
    layers.server_problems.push(told);
    let raw = Raw {
        text: "<not set>".to_owned(),
        secret: None,
        source,
        written: name,
        problem: Some(message),
    };
    layers.put_wrong(key, raw);
}

//! `agnes.toml` and `agnes.toml.d/NN-*.toml`: from text to the keys of the table, each with its line.
//!
//! Always true: a key that the table does not have is a problem, with the nearest one that it has; syntax errors do not
//! hide the rest of a file.
//!
//! Does not: parse values beyond their TOML type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::{Item, Layers, List, Raw};
use super::{Source, file};
use crate::env_keys::{self, KEYS, Key, Kind};
use crate::values::entry::{Fault, Field, Fields};
use crate::values::{job, provision, reload};

/// The deployment's own file.
pub(super) const OWN: &str = "agnes.toml";

/// Puts `agnes.toml` and then its drop-ins, by name, into `layers`.
pub(super) fn read_all(dir: &Path, layers: &mut Layers) {
    let mut names = vec![OWN.to_owned()];
    names.extend(named_drop_ins(dir, layers));
    read_files(dir, names, layers);
}

/// As [`read_all`], where `agnes.toml` says this.
pub(super) fn read_as_if(dir: &Path, text: &str, layers: &mut Layers) {
    read_text(dir, OWN, text, layers);
    let names = named_drop_ins(dir, layers);
    read_files(dir, names, layers);
}

fn named_drop_ins(dir: &Path, layers: &mut Layers) -> Vec<String> {
    drop_ins(&dir.join("agnes.toml.d"), layers).unwrap_or_else(|message| {
        let name = "agnes.toml.d".to_owned();
        layers.problem(Source::File { name, line: None }, None, message);
        Vec::new()
    })
}

fn read_files(dir: &Path, names: Vec<String>, layers: &mut Layers) {
    for name in names {
        let whole = Source::File {
            name: name.clone(),
            line: None,
        };
        match file::read(&dir.join(&name)) {
            Ok(None) => {}
            Err(message) => layers.problem(whole, None, message),
            Ok(Some(bytes)) => match std::str::from_utf8(&bytes) {
                Ok(text) => read_text(dir, &name, text, layers),
                Err(error) => {
                    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                    let line = Some(1 + before.iter().filter(|b| **b == b'\n').count());
                    let message = "is not UTF-8 (expected the file to be saved as UTF-8)";
                    layers.problem(Source::File { name, line }, None, message);
                }
            },
        }
    }
}

/// The names of drop-ins below the deployment's directory, sorted. Files that do not end in `.toml` are not ours; one that
/// does and is no drop-in is warned of.
fn drop_ins(dir: &Path, layers: &mut Layers) -> Result<Vec<String>, String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && dir.symlink_metadata().is_err() => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(file::unreadable(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| file::unreadable(&error))?.file_name();
        let path = format!("agnes.toml.d/{}", name.to_string_lossy());
        let extension = Path::new(&name).extension().unwrap_or_default();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()))
            && extension == "toml";
        if ours {
            names.push(path);
        } else if extension.eq_ignore_ascii_case("toml") {
            let name = path.replace(|c: char| c.is_control(), " ");
            let message = "is not read: its name is not that of a drop-in (expected NN-name.toml such as 10-local.toml)";
            layers.warn(Source::File { name, line: None }, None, message);
        }
    }
    names.sort();
    Ok(names)
}

/// Puts the text of one file into `layers`.
pub(super) fn read_text(dir: &Path, name: &str, text: &str, layers: &mut Layers) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        dir,
        name,
        text,
        seen: BTreeMap::new(),
        broken: BTreeSet::new(),
        layers,
    };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let source = reader.source(at);
        reader.broken.insert(source.clone());
        reader.layers.problem(source, None, error.message());
    }
    reader.table(table.get_ref(), "");
}

struct Reader<'a> {
    dir: &'a Path,
    name: &'a str,
    text: &'a str,
    /// Keys of this file and the path under which each stood.
    seen: BTreeMap<&'static str, String>,
    /// Lines with a syntax error: what the parser made up there is nobody's value.
    broken: BTreeSet<Source>,
    layers: &'a mut Layers,
}

impl Reader<'_> {
    fn source(&self, at: usize) -> Source {
        let before = self.text.get(..at).unwrap_or(self.text);
        Source::File {
            name: self.name.to_owned(),
            line: Some(1 + before.matches('\n').count()),
        }
    }

    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            let source = self.source(name.span().start);
            if self.broken.contains(&source) {
                continue;
            }
            if let Some(key) = env_keys::by_toml(&path) {
                self.key(key, path, value, source);
            } else if !is_table(&path) {
                let message = unknown(&path);
                self.layers.problem(source, Some(&path), message);
            } else if let DeValue::Table(inner) = value.get_ref() {
                self.table(inner, &format!("{path}."));
            } else {
                let message = format!(
                    "is of type {} (expected a table)",
                    value.get_ref().type_str()
                );
                self.layers.problem(source, Some(&path), message);
            }
        }
    }

    fn key(
        &mut self,
        key: &'static Key,
        path: String,
        value: &Spanned<DeValue<'_>>,
        source: Source,
    ) {
        if let Some(other) = self.seen.insert(key.name(), path.clone()) {
            let message =
                format!("means the same as {other}, which is given too (expected one of them)");
            self.layers.problem(source.clone(), Some(&path), message);
        }
        match key.kind {
            Kind::Reload => return self.reload(value, source),
            Kind::Secrets => return self.secrets(value, source),
            Kind::Jobs => {
                let list = self.list(key, value, source, job::job);
                self.layers.jobs = Some(list);
                return;
            }
            _ => {}
        }
        match text_of(key.kind, value.get_ref()) {
            Ok(text) => self.layers.put(key, &path, &text, source),
            Err(problem) => {
                let raw = Raw {
                    text: shown(value.get_ref()),
                    secret: None,
                    source,
                    written: path,
                    problem: Some(problem),
                };
                self.layers.put_wrong(key, raw);
            }
        }
    }

    fn reload(&mut self, value: &Spanned<DeValue<'_>>, source: Source) {
        if matches!(value.get_ref(), DeValue::Array(entries) if entries.is_empty()) {
            let message = "is empty (expected at least one way; leave it out for the defaults)";
            self.layers
                .problem(source.clone(), Some("tls.reload"), message);
            self.layers.reload = Some(List {
                items: Vec::new(),
                source,
                problem: Some(message.to_owned()),
            });
            return;
        }
        let dir = self.dir;
        let list = self.list(&env_keys::RELOAD, value, source, |fields| {
            reload::way(dir, fields)
        });
        self.layers.reload = Some(list);
    }

    /// The tables of `[secrets]`, each by its name; a text alone is its source. They stay beside those of lower files.
    fn secrets(&mut self, value: &Spanned<DeValue<'_>>, source: Source) {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!(
                "is of type {} (expected {})",
                value.get_ref().type_str(),
                Kind::Secrets.expected()
            );
            return self.layers.problem(source, Some("secrets"), message);
        };
        for (name, entry) in table {
            let path = format!("secrets.{}", name.get_ref());
            let source = self.source(name.span().start);
            let short = match entry.get_ref() {
                DeValue::String(url) => Some(Fields::from([(
                    "source".to_owned(),
                    Field::Text(url.to_string()),
                )])),
                _ => None,
            };
            let parsed = match short {
                Some(fields) => provision::provision(name.get_ref(), fields)
                    .map(|value| Item {
                        value,
                        path: path.clone(),
                        source: source.clone(),
                    })
                    .map_err(|faults| {
                        for (_, message) in faults {
                            self.layers.problem(source.clone(), Some(&path), message);
                        }
                    })
                    .ok(),
                None => self.item(path, entry, |fields| {
                    provision::provision(name.get_ref(), fields)
                }),
            };
            if let Some(item) = parsed {
                self.layers.provisions.insert(item.value.name.clone(), item);
            }
        }
    }

    /// The tables of a list, each read by `parse`.
    fn list<T>(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        source: Source,
        parse: impl Fn(Fields) -> Result<T, Vec<Fault>>,
    ) -> List<T> {
        let before = self.layers.problems.len();
        let name = key.toml.unwrap_or_default();
        let mut items = Vec::new();
        match value.get_ref() {
            DeValue::Array(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    items.extend(self.item(format!("{name}[{index}]"), entry, &parse));
                }
            }
            other => {
                let message = format!(
                    "is of type {} (expected {})",
                    other.type_str(),
                    key.kind.expected()
                );
                self.layers.problem(source.clone(), Some(name), message);
            }
        }
        let problem = self.layers.problems.get(before).map(|p| p.message.clone());
        List {
            items,
            source,
            problem,
        }
    }

    fn item<T>(
        &mut self,
        path: String,
        entry: &Spanned<DeValue<'_>>,
        parse: impl Fn(Fields) -> Result<T, Vec<Fault>>,
    ) -> Option<Item<T>> {
        let source = self.source(entry.span().start);
        let DeValue::Table(table) = entry.get_ref() else {
            let message = format!(
                "is of type {} (expected a table)",
                entry.get_ref().type_str()
            );
            self.layers.problem(source, Some(&path), message);
            return None;
        };
        let fields = table
            .iter()
            .map(|(name, value)| (name.get_ref().to_string(), field(value.get_ref())))
            .collect();
        match parse(fields) {
            Ok(value) => Some(Item {
                value,
                path,
                source,
            }),
            Err(faults) => {
                for (name, message) in faults {
                    let at = name.as_deref().and_then(|name| {
                        let (key, _) = table.iter().find(|(key, _)| key.get_ref() == name)?;
                        Some(key.span().start)
                    });
                    let source = self.source(at.unwrap_or(entry.span().start));
                    let path = name.map_or(path.clone(), |name| format!("{path}.{name}"));
                    self.layers.problem(source, Some(&path), message);
                }
                None
            }
        }
    }
}

fn field(value: &DeValue<'_>) -> Field {
    match value {
        DeValue::String(text) => Field::Text(text.to_string()),
        DeValue::Integer(number) => Field::Integer(number.to_string()),
        DeValue::Boolean(truth) => Field::Truth(*truth),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map_or(
                Field::Other("array with other things than strings"),
                Field::List,
            ),
        other => Field::Other(other.type_str()),
    }
}

/// The text that a value stands for in the shape `kind`.
fn text_of(kind: Kind, value: &DeValue<'_>) -> Result<String, String> {
    match (kind, value) {
        (Kind::Version | Kind::Count, DeValue::Integer(number)) => Ok(number.to_string()),
        (Kind::Truth, DeValue::Boolean(truth)) => Ok(truth.to_string()),
        (Kind::Version | Kind::Truth, other) => Err(format!(
            "is of type {} (expected {})",
            other.type_str(),
            kind.expected()
        )),
        (_, DeValue::String(text)) => Ok(text.to_string()),
        (
            Kind::Domains
            | Kind::Nets
            | Kind::Origins
            | Kind::Emails
            | Kind::Overlays
            | Kind::Probes
            | Kind::Recipients,
            DeValue::Array(items),
        ) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(","))
            .ok_or_else(|| {
                format!(
                    "has an item that is no string (expected {})",
                    kind.expected()
                )
            }),
        (Kind::Count, other) => Err(format!(
            "is of type {} (expected {})",
            other.type_str(),
            kind.expected()
        )),
        (_, other) => Err(format!(
            "is of type {} (expected a string: {})",
            other.type_str(),
            kind.expected()
        )),
    }
}

/// A value of the wrong type, for people.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        other => format!("<{}>", other.type_str()),
    }
}

fn paths() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|key| [key.toml, key.alias]).flatten()
}

fn is_table(path: &str) -> bool {
    let prefix = format!("{path}.");
    paths().any(|known| known.starts_with(&prefix))
}

/// What to say of a key that nobody knows: the same name elsewhere, the environment's name, or the nearest one.
fn unknown(path: &str) -> String {
    let last = |path: &str| {
        path.rsplit('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let tables = || paths().filter_map(|known| known.split_once('.').map(|(table, _)| table));
    let elsewhere = paths().find(|known| last(known) == last(path));
    let by_env = KEYS
        .iter()
        .find(|key| {
            key.env
                .is_some_and(|env| env.eq_ignore_ascii_case(&last(path)))
        })
        .and_then(|key| key.toml);
    // A short name is near to everything.
    let slips = (last(path).chars().count() / 3).clamp(1, 3);
    let nearest = || {
        paths()
            .chain(tables())
            .map(|known| {
                let whole = strsim::damerau_levenshtein(known, path);
                let name = strsim::damerau_levenshtein(&last(known), &last(path));
                (whole.min(name), whole, known)
            })
            .min()
            .filter(|(distance, _, _)| *distance <= slips)
            .map(|(_, _, known)| known)
    };
    match elsewhere.or(by_env).or_else(nearest) {
        Some(known) => format!("is no setting; did you mean {known}?"),
        None => "is no setting (see docs/configuration.md for all of them)".to_owned(),
    }
}

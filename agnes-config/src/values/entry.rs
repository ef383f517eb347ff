//! One table of a list in `agnes.toml` (`[[tls.reload]]`, `[[jobs]]`): its fields are taken one by one.
//!
//! Always true: every fault of a table is kept; what nobody took is a fault too, once the caller asks for the rest.
//!
//! Does not: read TOML (the caller hands over fields).

use std::collections::BTreeMap;

use super::Parsed;

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// A string.
    Text(String),
    /// A whole number, as written.
    Integer(String),
    /// An array of strings.
    List(Vec<String>),
    /// `true` or `false`.
    Truth(bool),
    /// Anything else: the name of its TOML type.
    Other(&'static str),
}

/// A fault, and the field it is in (`None`: the entry as a whole).
pub(crate) type Fault = (Option<String>, String);

/// The fields of an entry, by name.
pub(crate) type Fields = BTreeMap<String, Field>;

pub(crate) struct Entry {
    pub(crate) fields: Fields,
    pub(crate) faults: Vec<Fault>,
}

impl Entry {
    pub(crate) fn new(fields: Fields) -> Self {
        Self {
            fields,
            faults: Vec::new(),
        }
    }

    pub(crate) fn fault(&mut self, field: Option<&str>, what: impl Into<String>) {
        self.faults.push((field.map(str::to_owned), what.into()));
    }

    /// Takes a field that must be a string; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let kind = match self.fields.remove(name)? {
            Field::Text(text) => return Some(text).filter(|text| !text.is_empty()),
            Field::List(_) => {
                self.fault(Some(name), "is a list (expected a string)");
                return None;
            }
            Field::Integer(_) => "integer",
            Field::Truth(_) => "boolean",
            Field::Other(kind) => kind,
        };
        self.fault(Some(name), format!("is of type {kind} (expected a string)"));
        None
    }

    /// Takes a whole number, also one in quotes.
    pub(crate) fn number(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Parsed<u32>,
    ) -> Option<u32> {
        if let Some(Field::Integer(text)) = self.fields.get(name) {
            let text = text.clone();
            self.fields.insert(name.to_owned(), Field::Text(text));
        }
        self.checked(name, parse)
    }

    /// Takes `true` or `false`.
    pub(crate) fn truth(&mut self, name: &str) -> Option<bool> {
        if let Some(Field::Truth(truth)) = self.fields.get(name) {
            let truth = *truth;
            self.fields.remove(name);
            return Some(truth);
        }
        let given = self.fields.remove(name)?;
        let kind = match given {
            Field::Text(_) => "string",
            Field::Integer(_) => "integer",
            Field::List(_) => "array",
            Field::Truth(_) => "boolean",
            Field::Other(kind) => kind,
        };
        self.fault(
            Some(name),
            format!("is of type {kind} (expected true or false)"),
        );
        None
    }

    /// Takes a string that `parse` understands.
    pub(crate) fn checked<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text)
            .map_err(|what| self.fault(Some(name), what))
            .ok()
    }

    /// The one target among those that were given.
    pub(crate) fn one<T>(&mut self, targets: Vec<Option<T>>, names: &str) -> Option<T> {
        let mut given = targets.into_iter().flatten();
        let first = given.next();
        let further = given.next().is_some();
        if further || (first.is_none() && self.faults.is_empty()) {
            let found = if further {
                "more than one target"
            } else {
                "no target"
            };
            self.fault(
                None,
                format!("has {found} (expected exactly one of {names})"),
            );
            return None;
        }
        first
    }

    /// What is left is nothing that `owner` has.
    pub(crate) fn refuse_the_rest(&mut self, owner: &str) {
        for name in std::mem::take(&mut self.fields).into_keys() {
            self.fault(Some(&name), format!("is no field of {owner}"));
        }
    }
}

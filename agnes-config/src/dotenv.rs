//! `.env` in Docker Compose v2's dialect: what Compose reads from a file, we read, and what it refuses, we refuse.
//!
//! Always true: the file is data. Nothing is evaluated, nothing is exported, the last of several equal keys wins. Every
//! entry keeps its line and the bytes it stands on; every fault of a file is found, not only the first. A fault never
//! repeats a value, for any line may hold a secret; only the words behind `?` in `${NAME:?words}` are written to be read.
//!
//! Does not: know which keys are ours (that is `env_keys`), read or write files.

use std::collections::BTreeMap;
use std::ops::Range;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

mod edit;
mod escape;
mod expand;

pub use edit::{UpsertError, quote, remove, remove_last, upsert};

/// Everything that one file says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The entries in the order of the file, duplicates included.
    pub entries: Vec<Entry>,
    /// What Compose would refuse the file for, in the order of the file.
    pub faults: Vec<Fault>,
}

impl Parsed {
    /// The entry that counts for `key`: the last one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}

/// One `KEY=value`. `Debug` leaves the value out, for it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key; never empty.
    pub key: String,
    /// The value after unquoting and interpolation.
    pub value: String,
    /// The key's line, from 1.
    pub line: usize,
    /// The bytes of the value as written, quotes included; empty for an inherited key.
    pub span: Range<usize>,
    /// Written without a separator: the value is the environment's.
    pub inherited: bool,
    /// The value depends on variables.
    pub interpolated: bool,
    /// Variables in the value that nobody set; each reads as empty.
    pub unset: Vec<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("line", &self.line)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// One reason why Compose refuses the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// The key it is about, where one was read.
    pub key: Option<String>,
    /// What is wrong, what is expected; never a value, but the operator's own words of a `${NAME:?words}`.
    pub message: String,
}

/// Parses a whole file. `lookup` is the process environment: it beats the file's own earlier keys in `${…}`, as in Compose,
/// and gives keys without a separator their value. Bytes that are not UTF-8 are a fault; the rest is still parsed.
pub fn parse(bytes: &[u8], lookup: &dyn Fn(&str) -> Option<String>) -> Parsed {
    let text = String::from_utf8_lossy(bytes);
    let mut parser = Parser {
        text: &text,
        pos: if text.starts_with('\u{feff}') { 3 } else { 0 },
        newlines: text.match_indices('\n').map(|(at, _)| at).collect(),
        lookup,
        known: BTreeMap::new(),
        budget: expand::Budget::new(),
        opened_at: None,
        parsed: Parsed::default(),
    };
    if let Err(error) = std::str::from_utf8(bytes) {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        parser.parsed.faults.push(Fault {
            line,
            key: None,
            message: "is not UTF-8 (expected the file to be saved as UTF-8)".to_owned(),
        });
    }
    parser.run();
    let mut parsed = parser.parsed;
    parsed.faults.sort_by_key(|fault| fault.line);
    parsed
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    newlines: Vec<usize>,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    known: BTreeMap<String, String>,
    budget: expand::Budget,
    /// Where the last multi-line quoted value began and ended, for a fault right behind it.
    opened_at: Option<(usize, usize)>,
    parsed: Parsed,
}

impl Parser<'_> {
    fn run(&mut self) {
        while self.skip_to_statement() {
            self.statement();
        }
        // Compose puts what counts into its environment, which cannot carry a NUL.
        let nul = |(key, value): (&String, &String)| value.contains('\0').then(|| key.clone());
        let keys: Vec<String> = self.known.iter().filter_map(nul).collect();
        for key in keys {
            let at = self.parsed.get(&key).map_or(0, |entry| entry.span.start);
            self.fault(at, Some(&key), "the value has a NUL byte (expected text)");
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn line_of(&self, pos: usize) -> usize {
        1 + self.newlines.partition_point(|at| *at < pos)
    }

    fn fault(&mut self, pos: usize, key: Option<&str>, message: impl Into<String>) {
        self.parsed.faults.push(Fault {
            line: self.line_of(pos),
            key: key.map(str::to_owned),
            message: message.into(),
        });
    }

    /// Skips white space and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            self.pos += rest.len() - rest.trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.pos += rest.find('\n').map_or(rest.len(), |at| at + 1);
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn statement(&mut self) {
        if let Some(behind) = self.rest().strip_prefix("export")
            && behind.starts_with(['\t', '\n', '\x0c', '\r', ' '])
        {
            self.pos += "export".len();
            self.skip_spaces();
            if self.rest().is_empty() {
                return self.fault(
                    self.pos,
                    None,
                    "`export` without a key (expected KEY=value)",
                );
            }
        }
        let start = self.pos;
        let separator = match self.find_separator() {
            Ok(found) => found,
            Err(c) => {
                self.unexpected_character(start, c);
                return self.skip_line();
            }
        };
        let Some((len, separator)) = separator else {
            // Behind a newline this would be an inherited key; without one Compose takes it for a value without a key.
            self.fault(
                start,
                None,
                "has neither = nor a newline behind it (expected KEY=value)",
            );
            return self.skip_line();
        };
        let rest = self.rest();
        let key = rest.get(..len).unwrap_or_default().trim_end().to_owned();
        self.pos += len + 1;
        if key.contains(' ') {
            self.fault(
                start,
                None,
                "a key cannot contain a space (expected KEY=value)",
            );
            if separator != '\n' {
                self.skip_line();
            }
            return;
        }
        if key.is_empty() && separator != '\n' {
            self.fault(
                start,
                None,
                "there is no key before the = or : (expected KEY=value)",
            );
        }
        if separator == '\n' {
            return self.inherit(start, key);
        }
        self.skip_spaces();
        match self.rest().bytes().next() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(start, key, quote),
            _ => self.unquoted(start, key),
        }
    }

    /// Length of the key and its separator; `None` at the end of the file, the character for one that no key may have.
    fn find_separator(&self) -> Result<Option<(usize, char)>, char> {
        for (at, c) in self.rest().char_indices() {
            match c {
                '=' | ':' | '\n' => return Ok(Some((at, c))),
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_space(c) || is_letter_or_number(c) => {}
                c => return Err(c),
            }
        }
        Ok(None)
    }

    fn unexpected_character(&mut self, start: usize, c: char) {
        let mut message = format!("unexpected character {c:?} in a key (expected KEY=value)");
        if let Some((opened, closed)) = self.opened_at
            && self.line_of(closed) == self.line_of(start)
        {
            let line = self.line_of(opened);
            message.push_str(&format!("; is the quote of line {line} never closed?"));
        }
        self.fault(start, None, message);
    }

    fn inherit(&mut self, start: usize, key: String) {
        if let Some(value) = (self.lookup)(&key) {
            let mut entry = self.entry(start, key, self.pos..self.pos);
            entry.value = value;
            entry.inherited = true;
            self.push(entry);
        }
    }

    fn unquoted(&mut self, start: usize, key: String) {
        let from = self.pos;
        let line = self.rest().split('\n').next().unwrap_or_default();
        let value = line.split_once(" #").map_or(line, |(value, _)| value);
        let value = value.trim_end().to_owned();
        self.skip_line();
        let entry = self.entry(start, key, from..from + value.len());
        self.interpolate(entry, &value);
    }

    fn quoted(&mut self, start: usize, key: String, quote: u8) {
        let from = self.pos;
        let Some((len, raw)) = escape::unquote(self.rest()) else {
            let quote = char::from(quote);
            self.fault(
                start,
                Some(&key),
                format!("the value's quote {quote} is never closed"),
            );
            return self.skip_line();
        };
        self.pos += len;
        if self.line_of(from) != self.line_of(self.pos) {
            self.opened_at = Some((from, self.pos));
        }
        let mut entry = self.entry(start, key, from..self.pos);
        if quote == b'"' {
            self.interpolate(entry, &escape::unescape(&raw));
        } else {
            entry.value = raw;
            self.push(entry);
        }
    }

    fn entry(&self, start: usize, key: String, span: Range<usize>) -> Entry {
        Entry {
            key,
            value: String::new(),
            line: self.line_of(start),
            span,
            inherited: false,
            interpolated: false,
            unset: Vec::new(),
        }
    }

    fn interpolate(&mut self, mut entry: Entry, raw: &str) {
        let was_overdrawn = self.budget.is_overdrawn();
        let expanded = expand::expand(raw, &mut self.budget, &|name| {
            (self.lookup)(name).or_else(|| self.known.get(name).cloned())
        });
        match expanded {
            Ok(expanded) => {
                entry.value = expanded.text;
                entry.interpolated = expanded.interpolated;
                entry.unset = expanded.unset;
                self.push(entry);
            }
            // The first line that took too much says it for all behind it.
            Err(_) if was_overdrawn => {}
            Err(message) => self.fault(entry.span.start, Some(&entry.key), message),
        }
    }

    fn push(&mut self, entry: Entry) {
        if entry.key.is_empty() {
            return;
        }
        self.known.insert(entry.key.clone(), entry.value.clone());
        self.parsed.entries.push(entry);
    }
}

/// White space other than a line break, as Compose counts it around keys and before values.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// The categories L and N, which is what Compose lets stand in a key.
fn is_letter_or_number(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    GeneralCategoryGroup::Letter.contains(category)
        || GeneralCategoryGroup::Number.contains(category)
}

#[cfg(test)]
mod tests;

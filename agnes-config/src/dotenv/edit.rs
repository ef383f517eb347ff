//! Writing into a `.env` that belongs to people: our keys change, every other byte stays.
//!
//! Always true: what is returned was parsed again and gives exactly the wanted values; the same bytes come back when
//! nothing changes. A value that the dialect cannot carry is refused, not approximated.
//!
//! Does not: write files, judge values.

use super::{Entry, Fault, Parsed, parse};

/// Why a file was not changed. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpsertError {
    /// The file has faults; it is left alone until a person has mended it.
    #[error("line {}: {}", .0.line, .0.message)]
    Malformed(Fault),
    /// Not a name that every reader of `.env` understands.
    #[error("{0:?} is no key (expected letters, digits and underscores, no digit first)")]
    Key(String),
    /// The value cannot be written so that Compose reads it back byte for byte.
    #[error(
        "{0}: the value cannot be written in a .env (it holds a NUL byte, or its line does not allow it)"
    )]
    Value(String),
}

/// Writes `value` as it must stand behind `KEY=`: bare when it is plain, else in single quotes, else in double ones.
/// `None`: it holds a NUL, which no environment can carry.
pub fn quote(value: &str) -> Option<String> {
    if value.contains('\0') {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Some(value.to_owned());
    }
    Some(in_quotes(value))
}

fn in_quotes(value: &str) -> String {
    if !value.contains(|c: char| c.is_control() || c == '\'' || c == '\\') {
        return format!("'{value}'");
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Sets `pairs` in the file `bytes`: the entry that counts (the last) is replaced where it stands, a new key is appended.
/// Comments, unknown keys, order and line endings stay byte for byte. A value made of variables is replaced by the
/// plain one even when it reads the same today.
///
/// # Errors
/// [`UpsertError`]; then nothing was changed.
pub fn upsert(bytes: &[u8], pairs: &[(&str, &str)]) -> Result<Vec<u8>, UpsertError> {
    let before = read(bytes)?;
    let mut out = bytes.to_vec();
    for (key, value) in pairs {
        if !is_key(key) {
            return Err(UpsertError::Key((*key).to_owned()));
        }
        out = upsert_one(&out, key, value)?;
    }
    let after = read(&out)?;
    for (key, value) in pairs {
        let last = pairs.iter().rev().find(|(k, _)| k == key);
        let wanted = last.map_or(*value, |(_, value)| *value);
        if after.get(key).is_none_or(|entry| entry.value != wanted) {
            return Err(UpsertError::Value((*key).to_owned()));
        }
    }
    let ours = |key: &str| pairs.iter().any(|(k, _)| *k == key);
    let others = |parsed: &Parsed| -> Vec<String> {
        let keys = parsed.entries.iter().map(|entry| entry.key.clone());
        keys.filter(|key| !key.is_empty() && !ours(key)).collect()
    };
    match pairs.first() {
        Some((key, _)) if others(&before) != others(&after) => {
            Err(UpsertError::Value((*key).to_owned()))
        }
        _ => Ok(out),
    }
}

fn upsert_one(bytes: &[u8], key: &str, value: &str) -> Result<Vec<u8>, UpsertError> {
    let refused = || UpsertError::Value(key.to_owned());
    let quoted = quote(value).ok_or_else(refused)?;
    let parsed = read(bytes)?;
    let Some(entry) = parsed.get(key).filter(|entry| !entry.inherited) else {
        return Ok(append(bytes, key, &quoted));
    };
    if entry.value == value && !entry.interpolated {
        return Ok(bytes.to_vec());
    }
    let head = bytes.get(..entry.span.start).ok_or_else(refused)?;
    let tail = bytes.get(entry.span.end..).ok_or_else(refused)?;
    let rest_of_line = tail.split(|b| *b == b'\n').next().unwrap_or_default();
    // Behind a bare value everything up to the line's end would be value too; behind a quoted one it is not.
    let quoted = if rest_of_line.trim_ascii().is_empty() {
        quoted
    } else {
        in_quotes(value)
    };
    Ok([head, quoted.as_bytes(), tail].concat())
}

fn append(bytes: &[u8], key: &str, quoted: &str) -> Vec<u8> {
    let crlf = bytes
        .split_inclusive(|b| *b == b'\n')
        .next()
        .is_some_and(|line| line.ends_with(b"\r\n"));
    let newline = if crlf { "\r\n" } else { "\n" };
    let mut out = bytes.to_vec();
    if !out.is_empty() && out != "\u{feff}".as_bytes() && !out.ends_with(b"\n") {
        out.extend_from_slice(newline.as_bytes());
    }
    out.extend_from_slice(format!("{key}={quoted}{newline}").as_bytes());
    out
}

/// Takes `key` out: every line that holds it and nothing else. Where a comment stands behind the value, the value becomes
/// empty and the line stays.
///
/// # Errors
/// [`UpsertError`]; then nothing was changed.
pub fn remove(bytes: &[u8], key: &str) -> Result<Vec<u8>, UpsertError> {
    remove_most(bytes, key, usize::MAX)
}

/// As [`remove`], the last line alone, which is the one that counts: one before it counts then.
///
/// # Errors
/// [`UpsertError`]; then nothing was changed.
pub fn remove_last(bytes: &[u8], key: &str) -> Result<Vec<u8>, UpsertError> {
    remove_most(bytes, key, 1)
}

fn remove_most(bytes: &[u8], key: &str, most: usize) -> Result<Vec<u8>, UpsertError> {
    let before = read(bytes)?;
    let mut out = bytes.to_vec();
    // from the end, so that what is found earlier stays where it is
    let found = before.entries.iter().rev().filter(|entry| entry.key == key);
    for entry in found.take(most) {
        let (head, tail) = (
            bytes.get(..entry.span.start).unwrap_or_default(),
            bytes.get(entry.span.end..).unwrap_or_default(),
        );
        let begins = head
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let rest = tail
            .iter()
            .position(|b| *b == b'\n')
            .map_or(tail.len(), |at| at + 1);
        // behind a closing quote another key may stand on the same line
        let first =
            |other: &Entry| other.span.end <= begins || other.span.start >= entry.span.start;
        let alone = tail.get(..rest).unwrap_or_default().trim_ascii().is_empty()
            && before.entries.iter().all(first);
        if alone && !entry.inherited {
            out.drain(begins..entry.span.end + rest);
        } else {
            let mut emptied = out.get(..entry.span.start).unwrap_or_default().to_vec();
            emptied.extend_from_slice(if entry.inherited { b"" } else { b"''" });
            emptied.extend_from_slice(out.get(entry.span.end..).unwrap_or_default());
            out = emptied;
        }
    }
    // a value that is made of the key would change; the environment must not hide that
    let others = |bytes: &[u8]| -> Vec<(String, String)> {
        let parsed = parse(bytes, &|_| None).entries.into_iter();
        let others = parsed.filter(|entry| entry.key != key);
        others.map(|entry| (entry.key, entry.value)).collect()
    };
    read(&out)?;
    if others(bytes) != others(&out) {
        return Err(UpsertError::Value(key.to_owned()));
    }
    Ok(out)
}

/// Parses as if the environment had every variable: one that only Compose will see is no reason to leave the file alone.
fn read(bytes: &[u8]) -> Result<Parsed, UpsertError> {
    let parsed = parse(bytes, &|_| Some("set".to_owned()));
    match parsed.faults.first() {
        Some(fault) => Err(UpsertError::Malformed(fault.clone())),
        None => Ok(parsed),
    }
}

fn is_key(key: &str) -> bool {
    !key.starts_with(|c: char| c.is_ascii_digit())
        && !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

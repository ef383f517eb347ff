//! `TLS_CSR_SUBJECT`: a distinguished name in slashes, `/C=US/O=Your Org/CN=agnes.example.com`.
//!
//! Always true: attributes are known ones and no more of one than a request can be written with; values are not empty, no
//! longer than their attribute allows, and of characters that its type of string can carry.
//!
//! Does not: encode (that is the CSR's maker).

use super::{Parsed, quoted};

/// Known attributes and the most characters of their values (RFC 5280, appendix A.1, upper bounds).
const ATTRIBUTES: &[(&str, usize)] = &[
    ("C", 2),
    ("ST", 128),
    ("L", 128),
    ("O", 64),
    ("OU", 64),
    ("CN", 64),
    ("emailAddress", 255),
    ("serialNumber", 64),
];

pub(crate) fn subject(text: &str) -> Parsed<Vec<(String, String)>> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("{} does not begin with a slash", quoted(text)));
    };
    let pairs = split(rest)?
        .iter()
        .map(|part| attribute(part))
        .collect::<Parsed<Vec<_>>>()?;
    for (name, _) in ATTRIBUTES {
        let count = pairs.iter().filter(|(given, _)| given == name).count();
        // What the maker of requests can write: its library knows these four by two names each.
        let most = if matches!(*name, "ST" | "L" | "O" | "OU") {
            2
        } else {
            1
        };
        if count > most {
            return Err(format!(
                "has {count} times {name}, and a request can be written with at most {most}"
            ));
        }
    }
    Ok(pairs)
}

/// Splits at slashes that have no backslash before them, and takes the escapes away.
fn split(text: &str) -> Parsed<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '/' => {
                parts.push(String::new());
                continue;
            }
            '\\' => match chars.next() {
                Some(escaped @ ('/' | '\\')) => escaped,
                _ => return Err("has a backslash that escapes neither / nor \\".to_owned()),
            },
            c => c,
        };
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    Ok(parts)
}

fn attribute(part: &str) -> Parsed<(String, String)> {
    let Some((name, value)) = part.split_once('=') else {
        return Err(format!(
            "{} is no attribute=value (a / in a value is written \\/)",
            quoted(part)
        ));
    };
    let Some((name, most)) = ATTRIBUTES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = ATTRIBUTES.iter().map(|(known, _)| *known).collect();
        return Err(format!(
            "{} is none of the attributes {}",
            quoted(name),
            known.join(", ")
        ));
    };
    if value.trim().is_empty() {
        return Err(format!("{name} is empty"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{name} has a control character"));
    }
    if *name == "C" && !(value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err(format!(
            "C={} is not a country of two capital letters",
            quoted(value)
        ));
    }
    if value.chars().count() > *most {
        return Err(format!("{name} is longer than {most} characters"));
    }
    if *name == "emailAddress" && !value.is_ascii() {
        return Err(format!("{name} has letters beyond ASCII"));
    }
    if *name == "serialNumber"
        && let Some(c) = value.chars().find(|c| !is_printable(*c))
    {
        return Err(format!(
            "{name} cannot carry {c:?}, only letters, digits, spaces and '()+,-./:=?"
        ));
    }
    Ok(((*name).to_owned(), value.to_owned()))
}

/// The characters of a PrintableString (X.680, table 10).
fn is_printable(c: char) -> bool {
    c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c)
}

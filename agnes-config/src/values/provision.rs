//! One `[secrets.NAME]` table.
//!
//! Always true: a secret is published to Secret Manager alone, and never to the very version it is read from.
//!
//! Does not: fetch or publish.

use super::entry::{Entry, Fault, Fields};
use super::{Parsed, quoted, source_url};
use crate::env_keys;
use crate::settings::Provision;
use crate::source_url::SourceUrl;

/// Short names of the server's own secrets, as `agnes-ops secrets rotate` has them.
const OWN: [(&str, &str); 3] = [
    ("jwt", "JWT_SECRET_KEY"),
    ("session", "SESSION_SECRET"),
    ("scheduler", "SCHEDULER_API_TOKEN"),
];

/// Reads a table.
///
/// # Errors
/// All faults.
pub(crate) fn provision(table: &str, fields: Fields) -> Result<Provision, Vec<Fault>> {
    let mut entry = Entry::new(fields);
    let name = name(table).map_err(|what| entry.fault(None, what)).ok();
    let source = entry.checked("source", source_url);
    let required = entry.truth("required").unwrap_or(true);
    let publish = entry.checked("publish", publish);
    entry.refuse_the_rest("a secret (source, required, publish)");
    match name {
        Some(name) if entry.faults.is_empty() => Ok(Provision {
            name,
            source,
            required,
            publish,
        }),
        _ => Err(entry.faults),
    }
}

/// A name that every reader of `.env` understands, and that is no other setting.
fn name(table: &str) -> Parsed<String> {
    if let Some((_, own)) = OWN.iter().find(|(short, _)| *short == table) {
        return Ok((*own).to_owned());
    }
    let sound = (1..=128).contains(&table.len())
        && table.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && table
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !sound {
        return Err(format!(
            "{} is no name of a secret (expected one such as DATA_SOURCE_TOKEN, or jwt, session, scheduler)",
            quoted(table)
        ));
    }
    let other = env_keys::by_env(table).is_some_and(|key| !key.is_secret());
    if other || env_keys::by_secret_file(table).is_some() {
        return Err(format!("{table} is a setting and no secret"));
    }
    if table.ends_with("_PREVIOUS") {
        return Err(format!("{table} is written by rotations alone"));
    }
    Ok(table.to_owned())
}

fn publish(text: &str) -> Parsed<SourceUrl> {
    let url = source_url(text)?;
    match &url {
        SourceUrl::SecretManager { version, .. } if version == "latest" => Ok(url),
        SourceUrl::SecretManager { .. } => {
            Err("names a version (expected sm://secret: a new version is made)".to_owned())
        }
        _ => Err("is no address of a secret manager (expected sm://secret)".to_owned()),
    }
}

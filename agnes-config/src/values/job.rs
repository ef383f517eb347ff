//! One `[[jobs]]` entry.
//!
//! Always true: a job has a name, a schedule and one target; a credential is named only for a target outside; every fault
//! of an entry is found.
//!
//! Does not: read the credential, know the other jobs.

use std::time::Duration;

use super::entry::{Entry, Fault, Fields};
use super::{Parsed, count, deadline, quoted};
use crate::env_keys;
use crate::schedule::Schedule;
use crate::settings::{Job, JobTarget, Method};

/// A job whose credential has not been looked up.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) job: Job,
    /// The environment variable that holds it.
    pub(crate) token_env: Option<String>,
}

/// What the server runs anyway.
const BUILT_IN: &[&str] = &["checkpoint", "expire", "audit-head", "self-check"];

/// Reads an entry.
///
/// # Errors
/// All faults.
pub(crate) fn job(fields: Fields) -> Result<Draft, Vec<Fault>> {
    let mut entry = Entry::new(fields);
    let name = entry.required("name", name);
    let schedule = entry.required("schedule", |text| {
        text.parse::<Schedule>().map_err(|error| error.to_string())
    });
    let path = entry.checked("path", path);
    let inside = path.is_some();
    let url = entry.checked("url", url);
    let targets = vec![path.map(JobTarget::Path), url.map(JobTarget::Url)];
    let target = entry.target(targets);
    let method = entry.checked("method", method);
    let timeout = entry.checked("timeout", deadline);
    let retries = entry.number("retries", |text| count(text, 0, 100));
    let token_env = entry.checked("token_env", token_env);
    if inside && token_env.is_some() {
        let what = "goes with url only: a path on this server is called without a credential";
        entry.fault(Some("token_env"), what);
    }
    entry.refuse_the_rest("a job");
    match (name, schedule, target) {
        (Some(name), Some(schedule), Some(target)) if entry.faults.is_empty() => Ok(Draft {
            job: Job {
                name,
                schedule,
                target,
                method: method.unwrap_or(Method::Post),
                timeout: timeout.unwrap_or(Duration::from_secs(60)),
                retries: retries.unwrap_or(3),
                token: None,
            },
            token_env,
        }),
        _ => Err(entry.faults),
    }
}

impl Entry {
    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let before = self.faults.len();
        let value = self.checked(name, parse);
        if value.is_none() && self.faults.len() == before {
            self.fault(None, format!("{name} is missing"));
        }
        value
    }

    /// Exactly one of path and url. One that is wrong has been reported and is a target too.
    fn target(&mut self, targets: Vec<Option<JobTarget>>) -> Option<JobTarget> {
        let wrong = |(field, _): &Fault| matches!(field.as_deref(), Some("path" | "url"));
        let wrong = self.faults.iter().filter(|fault| wrong(fault)).count();
        let mut given: Vec<_> = targets.into_iter().flatten().collect();
        let found = match given.len() + wrong {
            0 => "no target",
            1 => return given.pop(),
            _ => "more than one target",
        };
        self.fault(
            None,
            format!("has {found} (expected exactly one of path, url)"),
        );
        None
    }
}

fn name(text: &str) -> Parsed<String> {
    let mark = |b: u8| b == b'_' || b == b'-';
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let sound = (1..=64).contains(&text.len())
        && !text.starts_with(['_', '-'])
        && text.bytes().all(|b| letter(b) || mark(b));
    if !sound {
        return Err(format!(
            "{} is no name of a job (expected at most 64 of a-z, 0-9, _ and -, a letter or digit first)",
            quoted(text)
        ));
    }
    if BUILT_IN.contains(&text) {
        return Err(format!("{text} is a job that the server has anyway"));
    }
    Ok(text.to_owned())
}

fn path(text: &str) -> Parsed<String> {
    let sound = text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.contains(['#', '\\']);
    if sound {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is no path on this server (expected one such as /api/health)",
        quoted(text.split('?').next().unwrap_or_default())
    ))
}

/// The text is never repeated: it may hold a credential.
fn url(text: &str) -> Parsed<url::Url> {
    let expected = "(expected an address such as https://example.com/hook)";
    let url = url::Url::parse(text).map_err(|error| format!("is no URL: {error} {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is neither https nor http {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it (expected token_env to name the variable that holds the credential)".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("has a fragment {expected}"));
    }
    Ok(url)
}

fn method(text: &str) -> Parsed<Method> {
    match text {
        "GET" => Ok(Method::Get),
        "POST" => Ok(Method::Post),
        _ => Err(format!(
            "{} is no method (expected GET or POST)",
            quoted(text)
        )),
    }
}

/// A name, for a credential in its place must not be repeated; and never the server's own keys, which would be sent away.
fn token_env(text: &str) -> Parsed<String> {
    let sound = text.len() <= 128
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !sound {
        return Err(
            "is no name of an environment variable (expected the name, not the value)".to_owned(),
        );
    }
    if env_keys::by_env(text).is_some() || env_keys::by_secret_file(text).is_some() {
        return Err(format!(
            "{text} is the server's own (expected a variable for this job)"
        ));
    }
    Ok(text.to_owned())
}

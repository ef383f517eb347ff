//! One `[[tls.reload]]` entry.
//!
//! Always true: an entry names one target and no field that its kind does not have; every fault of it is found.
//!
//! Does not: read TOML (the caller hands over fields), look whether the target exists.

use std::path::Path;

use super::entry::{Entry, Fault, Field, Fields};
use super::{Parsed, path, quoted};
use crate::settings::{CaddyTarget, ProcessTarget, ReloadWay, RestartTarget, Signal};

const KINDS: &str = "signal, caddy-admin, command or restart";

/// Reads an entry.
///
/// # Errors
/// All faults.
pub(crate) fn way(dir: &Path, fields: Fields) -> Result<ReloadWay, Vec<Fault>> {
    let mut entry = Entry::new(fields);
    let kind = entry.text("kind");
    let way = match kind.as_deref() {
        Some("signal") => entry.signal(dir),
        Some("caddy-admin") => entry.caddy_admin(),
        Some("command") => entry.command(),
        Some("restart") => entry.restart(),
        Some(other) => {
            let what = format!("{} is no kind (expected {KINDS})", quoted(other));
            return Err(vec![(Some("kind".to_owned()), what)]);
        }
        None => {
            if entry.faults.is_empty() {
                entry.fault(None, format!("kind is missing (expected {KINDS})"));
            }
            return Err(entry.faults);
        }
    };
    let kind = kind.unwrap_or_default();
    entry.refuse_the_rest(&format!("kind = \"{kind}\""));
    match way {
        Some(way) if entry.faults.is_empty() => Ok(way),
        _ => Err(entry.faults),
    }
}

impl Entry {
    fn signal(&mut self, dir: &Path) -> Option<ReloadWay> {
        let signal = match self.text("signal") {
            None => Some(Signal::Usr1),
            Some(name) => signal(&name)
                .map_err(|what| self.fault(Some("signal"), what))
                .ok(),
        };
        let pid_file = self.checked("pid_file", |text| path(dir, text));
        let unit = self.checked("unit", unit);
        let service = self.checked("compose_service", service);
        let targets = vec![
            pid_file.map(ProcessTarget::PidFile),
            unit.map(ProcessTarget::Unit),
            service.map(ProcessTarget::ComposeService),
        ];
        let target = self.one(targets, "pid_file, unit, compose_service")?;
        Some(ReloadWay::Signal {
            target,
            signal: signal?,
        })
    }

    fn caddy_admin(&mut self) -> Option<ReloadWay> {
        let url = self.checked("url", admin_url);
        let service = self.checked("compose_service", service);
        let config = match service {
            Some(_) => self.checked("config", container_path),
            None => None,
        };
        let targets = vec![
            url.map(CaddyTarget::Url),
            service.map(|service| CaddyTarget::ComposeService {
                service,
                config: config.unwrap_or_else(|| CADDYFILE.to_owned()),
            }),
        ];
        let target = self.one(targets, "url, compose_service")?;
        Some(ReloadWay::CaddyAdmin { target })
    }

    fn command(&mut self) -> Option<ReloadWay> {
        match self.fields.remove("argv") {
            Some(Field::List(argv)) if argv.first().is_some_and(|program| !program.is_empty()) => {
                if argv.iter().any(|word| word.contains('\0')) {
                    self.fault(Some("argv"), "has a NUL in it");
                    return None;
                }
                Some(ReloadWay::Command { argv })
            }
            Some(Field::Text(_)) => {
                self.fault(
                    Some("argv"),
                    "is one string; no shell splits it (expected a list of program and arguments)",
                );
                None
            }
            _ => {
                self.fault(
                    Some("argv"),
                    "is no program (expected a list of program and arguments)",
                );
                None
            }
        }
    }

    fn restart(&mut self) -> Option<ReloadWay> {
        let unit = self.checked("unit", unit);
        let service = self.checked("compose_service", service);
        let targets = vec![
            unit.map(RestartTarget::Unit),
            service.map(RestartTarget::ComposeService),
        ];
        let target = self.one(targets, "unit, compose_service")?;
        Some(ReloadWay::Restart { target })
    }
}

/// Where the official image keeps its configuration.
pub(crate) const CADDYFILE: &str = "/etc/caddy/Caddyfile";

fn signal(name: &str) -> Parsed<Signal> {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "USR1" => Ok(Signal::Usr1),
        "USR2" => Ok(Signal::Usr2),
        "HUP" => Ok(Signal::Hup),
        _ => Err(format!(
            "{} is no signal for a reload (expected SIGUSR1, SIGUSR2 or SIGHUP)",
            quoted(name)
        )),
    }
}

fn unit(name: &str) -> Parsed<String> {
    named(name, ":-_.\\@", "systemd unit")
}

fn service(name: &str) -> Parsed<String> {
    named(name, "-_.", "Compose service")
}

/// A name that cannot be taken for an option or for two words.
fn named(name: &str, marks: &str, what: &str) -> Parsed<String> {
    let sound = name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || marks.contains(c));
    if sound {
        return Ok(name.to_owned());
    }
    Err(format!("{} is no name of a {what}", quoted(name)))
}

fn container_path(text: &str) -> Parsed<String> {
    if text.starts_with('/') && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is no absolute path", quoted(text)))
}

/// The text is never repeated: it may hold a password.
fn admin_url(text: &str) -> Parsed<url::Url> {
    let expected = "(expected the admin endpoint such as http://127.0.0.1:2019)";
    let url = url::Url::parse(text).map_err(|error| format!("is no URL: {error} {expected}"))?;
    let sound = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if sound {
        return Ok(url);
    }
    Err(format!(
        "is not http or https, or has a user, query or fragment {expected}"
    ))
}

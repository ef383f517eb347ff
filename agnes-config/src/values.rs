//! From a text that a person wrote to a value of `settings`.
//!
//! Always true: an error says what is wrong in a few words (the caller adds what was expected) and, where the text may
//! hold a credential, does not repeat it.
//!
//! Does not: know keys, layers or the file system.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::{Domain, FileOwner, KeyType, Runtime, ServedAddress};
use crate::source_url::SourceUrl;

pub(crate) mod entry;
pub(crate) mod job;
pub(crate) mod mail;
pub(crate) mod network;
pub(crate) mod oidc;
pub(crate) mod provision;
pub(crate) mod reload;
pub(crate) mod snapshot;
pub(crate) mod soundness;
pub(crate) mod stack;
pub(crate) mod subject;
pub(crate) mod upgrade;

pub(crate) type Parsed<T> = Result<T, String>;

/// `text` in quotes, on one line, cut short.
pub(crate) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

pub(crate) fn version(text: &str) -> Parsed<()> {
    if text == "1" {
        return Ok(());
    }
    Err(format!("version {text} is not known to this program"))
}

pub(crate) fn runtime(text: &str) -> Parsed<Runtime> {
    match text {
        "compose" => Ok(Runtime::Compose),
        "process" => Ok(Runtime::Process),
        _ => Err(format!("{} is no runtime", quoted(text))),
    }
}

/// Longest DNS name and label, RFC 1035 section 2.3.4.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

pub(crate) fn domain(text: &str) -> Parsed<Domain> {
    let shown = quoted(text);
    if text.contains("://") || text.contains('/') {
        return Err(format!("{shown} is a URL, not a name"));
    }
    if text.contains(':') {
        return Err(format!("{shown} has a port or is an address"));
    }
    if !text.is_ascii() {
        return Err(format!(
            "{shown} has letters beyond ASCII; write its xn-- form"
        ));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.parse::<IpAddr>().is_ok() {
        return Err(format!("{shown} is an address, not a name"));
    }
    let sound = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    let last = labels.rsplit('.').next().unwrap_or_default();
    if name.len() > NAME_MAX
        || !labels.split('.').all(sound)
        || last.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("{shown} is no DNS name"));
    }
    Ok(Domain(name))
}

pub(crate) fn domains(text: &str) -> Parsed<Vec<Domain>> {
    words(text).map(domain).collect()
}

/// What commas or spaces separate.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty())
}

pub(crate) fn source_url(text: &str) -> Parsed<SourceUrl> {
    text.parse().map_err(|error| format!("{error}"))
}

/// A path without control characters, made absolute below `dir`; the root itself is refused.
pub(crate) fn path(dir: &Path, text: &str) -> Parsed<PathBuf> {
    if text.chars().any(char::is_control) {
        return Err(format!("{} has a control character", quoted(text)));
    }
    let path = std::path::absolute(dir.join(text)).map_err(|error| error.to_string())?;
    // `..` may pass a symbolic link, so it is not resolved by text.
    if path.parent().is_none() {
        return Err(format!("{} is the root directory", quoted(text)));
    }
    Ok(path)
}

pub(crate) fn listen(text: &str) -> Parsed<SocketAddr> {
    text.parse()
        .map_err(|_| format!("{} is no address with a port", quoted(text)))
}

pub(crate) fn served(text: &str) -> Parsed<ServedAddress> {
    if text == "none" {
        return Ok(ServedAddress::Off);
    }
    let wrong = || format!("{} is no host and port", quoted(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || port.parse::<u16>().unwrap_or(0) == 0 {
        return Err(format!("{} has no port from 1 to 65535", quoted(text)));
    }
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let sound = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || (!host.contains('*') && domain(host).is_ok()),
    };
    if !sound {
        return Err(wrong());
    }
    Ok(ServedAddress::At(text.to_owned()))
}

pub(crate) fn key_type(text: &str) -> Parsed<KeyType> {
    match text {
        "rsa-2048" => Ok(KeyType::Rsa2048),
        "rsa-3072" => Ok(KeyType::Rsa3072),
        "rsa-4096" => Ok(KeyType::Rsa4096),
        "ecdsa-p256" => Ok(KeyType::EcdsaP256),
        "ecdsa-p384" => Ok(KeyType::EcdsaP384),
        _ => Err(format!("{} is no key type", quoted(text))),
    }
}

pub(crate) fn owner(text: &str) -> Parsed<FileOwner> {
    // The highest id means "leave as it is" to chown.
    let id = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>()
            .ok()
            .filter(|id| digits && *id != u32::MAX)
    };
    text.split_once(':')
        .and_then(|(uid, gid)| {
            Some(FileOwner {
                uid: id(uid)?,
                gid: id(gid)?,
            })
        })
        .ok_or_else(|| format!("{} is no owner", quoted(text)))
}

/// A tracing filter. A bare word that is no level would switch everything else off without a word, so it is refused.
pub(crate) fn log_level(text: &str) -> Parsed<String> {
    let level = |word: &str| {
        ["error", "warn", "info", "debug", "trace", "off"]
            .iter()
            .any(|level| level.eq_ignore_ascii_case(word))
    };
    let target = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    let sound = |directive: &str| match directive.split_once('=') {
        Some((name, word)) => target(name) && level(word),
        None => level(directive),
    };
    if let Some(wrong) = text.split(',').map(str::trim).find(|part| !sound(part)) {
        return Err(format!("{} is no log level", quoted(wrong)));
    }
    Ok(text.to_owned())
}

/// `https`, or `http` on loopback. The text is never repeated: it may hold a password.
pub(crate) fn endpoint(text: &str) -> Parsed<url::Url> {
    let url = url::Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if !leaves_unprotected(&url) => Ok(url),
        "http" => Err("plain http leaves the host unprotected".to_owned()),
        _ => Err("has a scheme that is not https".to_owned()),
    }
}

/// Is it http, and not on loopback?
pub(crate) fn leaves_unprotected(url: &url::Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !loopback
}

/// Only what cannot leave its place in a request's path; Google itself knows which projects there are.
pub(crate) fn project(text: &str) -> Parsed<String> {
    let sound = text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":.-".contains(&b));
    if sound {
        return Ok(text.to_owned());
    }
    Err(format!("{} is no project", quoted(text)))
}

pub(crate) fn truth(text: &str) -> Parsed<bool> {
    text.parse()
        .map_err(|_| format!("{} is neither", quoted(text)))
}

/// The longest time that may be configured: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A whole number and a unit, `ms`, `s`, `m` or `h`: at most a day.
///
/// # Errors
/// What is wrong with it, as a clause.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" => return Err(format!("{} has no unit", quoted(text))),
        _ => return Err(format!("{} has an unknown unit", quoted(text))),
    };
    millis
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{} is longer than a day", quoted(text)))
}

/// A deadline: a duration that is not zero.
pub(crate) fn deadline(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        Duration::ZERO => Err("a deadline of zero lets nothing through".to_owned()),
        duration => Ok(duration),
    }
}

/// The most that a fetch may be told to hold in memory: 64 MiB.
const LARGEST: u64 = 64 << 20;

pub(crate) fn size(text: &str) -> Parsed<u64> {
    let (number, unit) = number_and_unit(text)?;
    match number.checked_mul(factor(text, unit, &[("B", 0), ("KiB", 10), ("MiB", 20)])?) {
        Some(0) => Err("a size of zero lets nothing through".to_owned()),
        Some(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err(format!("{} is more than 64MiB", quoted(text))),
    }
}

/// The largest file that is taken: up to 1 TiB.
const UPLOAD: std::ops::RangeInclusive<u64> = 1..=1 << 40;

pub(crate) fn upload(text: &str) -> Parsed<u64> {
    let (number, unit) = number_and_unit(text)?;
    match number.checked_mul(factor(text, unit, &BYTES)?) {
        Some(bytes) if UPLOAD.contains(&bytes) => Ok(bytes),
        Some(0) => Err("a size of zero lets nothing through".to_owned()),
        _ => Err(format!("{} is more than 1TiB", quoted(text))),
    }
}

const BYTES: [(&str, u32); 5] = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// What a database engine can work with, and what machines have: 64 MiB to 1 TiB.
const MEMORY: std::ops::RangeInclusive<u64> = 64 << 20..=1 << 40;

pub(crate) fn memory(text: &str) -> Parsed<u64> {
    let (number, unit) = number_and_unit(text)?;
    match number.checked_mul(factor(text, unit, &BYTES)?) {
        Some(bytes) if MEMORY.contains(&bytes) => Ok(bytes),
        Some(bytes) if bytes < *MEMORY.start() => {
            Err(format!("{} is less than 64MiB", quoted(text)))
        }
        _ => Err(format!("{} is more than 1TiB", quoted(text))),
    }
}

fn factor(text: &str, unit: &str, units: &[(&str, u32)]) -> Parsed<u64> {
    if unit.is_empty() {
        return Err(format!("{} has no unit", quoted(text)));
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    known
        .map(|(_, bits)| 1 << bits)
        .ok_or_else(|| format!("{} has an unknown unit", quoted(text)))
}

/// How often work is done in the background: from a second to a day.
pub(crate) fn interval(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        short if short < Duration::from_secs(1) => {
            Err(format!("{} is less than a second", quoted(text)))
        }
        duration => Ok(duration),
    }
}

/// A whole number from `least` to `most`.
pub(crate) fn count(text: &str, least: u32, most: u32) -> Parsed<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(format!("{} is no whole number", quoted(text)));
    }
    match text.parse() {
        Ok(number) if number < least => Err(format!("{number} is less than {least}")),
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{} is more than {most}", quoted(text))),
    }
}

fn number_and_unit(text: &str) -> Parsed<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.parse().map_err(|_| {
        format!(
            "{} does not begin with a whole number that fits",
            quoted(text)
        )
    })?;
    Ok((number, unit))
}

/// A URL that did not parse, or any URL, for a person's eyes: no userinfo, no query, and nothing at all of a text that
/// is no URL, for that is how a secret in the wrong line looks.
pub(crate) fn redacted_url(text: &str) -> String {
    let chars = text.chars().count();
    let Some((scheme, rest)) = text.split_once("://") else {
        return format!("<not a URL, {chars} chars>");
    };
    let known = scheme.len() <= 16 && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let head = rest.split(['?', '#']).next().unwrap_or_default();
    let cut = rest.len() - head.len();
    if !known
        || rest
            .get(rest.len() - cut..)
            .is_some_and(|tail| tail.contains('@'))
    {
        return format!("<not a URL, {chars} chars>");
    }
    let visible = head.rsplit('@').next().unwrap_or_default();
    let shown: String = visible
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect();
    format!("{scheme}://{shown}")
}

#[cfg(test)]
mod tests;

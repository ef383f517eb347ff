//! Where bytes are fetched from: the four schemes, parsed once.
//!
//! Always true: a value names exactly one thing by its owner's own naming rules; `Display` and `Debug` are redacted (no
//! userinfo, no query), so a `SourceUrl` and its errors may be logged. What `Display` prints for `sm`, `gs` and `file`
//! parses back to the same value.
//!
//! Does not: fetch (that is `agnes-ops/src/fetch`), know whether the thing exists, or allow plain http.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

/// A fetchable location.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// `https://…`
    Https(url::Url),
    /// `sm://secret`, `sm://project/secret`, `sm://projects/P/secrets/S/versions/V`.
    SecretManager {
        /// `None`: `GOOGLE_CLOUD_PROJECT`, else the metadata server's.
        project: Option<String>,
        /// Secret id.
        secret: String,
        /// Version number or alias; `latest` unless given.
        version: String,
    },
    /// `gs://bucket/object[#generation]`.
    Gcs {
        /// Bucket name, without `projects/_/buckets/`.
        bucket: String,
        /// Object name.
        object: String,
        /// A fixed generation; `None`: the live one.
        generation: Option<i64>,
    },
    /// `file:///path`.
    File(PathBuf),
}

/// Why a text is not a [`SourceUrl`]. Neither variant holds userinfo or a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceUrlError {
    /// Not one of the four schemes, or none at all.
    #[error("{found} is not fetched; use https://, sm://, gs:// or file://")]
    UnsupportedScheme {
        /// `http://`, or words for "no scheme"; never more of the text.
        found: String,
    },
    /// One of the four schemes, but not a location of it.
    #[error("{url}: {problem}")]
    Malformed {
        /// What was given, redacted and cut short.
        url: String,
        /// What is wrong with it and how to write it instead.
        problem: String,
    },
}

impl SourceUrlError {
    /// The fetch reason that this error is reported under.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedScheme { .. } => "unsupported-scheme",
            Self::Malformed { .. } => "malformed",
        }
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    /// # Errors
    /// [`SourceUrlError`], redacted.
    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(unsupported("a text without a scheme"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let parse = match scheme.as_str() {
            "https" => parse_https,
            "sm" => parse_secret_manager,
            "gs" => parse_gcs,
            "file" => parse_file,
            other if is_scheme(other) => return Err(unsupported(&format!("{other}://"))),
            _ => return Err(unsupported("a text without a scheme")),
        };
        parse(rest).map_err(|problem| SourceUrlError::Malformed {
            url: shown(&scheme, rest),
            problem,
        })
    }
}

fn unsupported(found: &str) -> SourceUrlError {
    SourceUrlError::UnsupportedScheme {
        found: found.to_owned(),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 16
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// Longest part of a refused text that an error repeats, in characters.
const SHOWN_CHARS: usize = 200;

/// A refused text without anything that may be userinfo or a query. As the text did not parse, nobody knows where its
/// userinfo ends: everything up to the last `@` goes, and all of it when an `@` stands behind a `?` or `#`.
fn shown(scheme: &str, rest: &str) -> String {
    let head_len = rest.find(['?', '#']).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(head_len);
    if tail.contains('@') {
        return format!("{scheme}://…");
    }
    let visible = head.rsplit('@').next().unwrap_or_default();
    let cut: String = visible
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(|c| c.escape_debug())
        .collect();
    let more = if visible.chars().count() > SHOWN_CHARS {
        "…"
    } else {
        ""
    };
    format!("{scheme}://{cut}{more}")
}

fn parse_https(rest: &str) -> Result<SourceUrl, String> {
    // The URL standard silently drops tabs and newlines; in a setting they are a slip that should be seen.
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("has white space or a control character in it".to_owned());
    }
    // It also skips any further slashes, so that `https:///x` would ask the host `x`.
    if rest.is_empty() || rest.starts_with(['/', '?', '#', '\\']) {
        return Err("has no host; write https://host/path".to_owned());
    }
    let mut url =
        url::Url::parse(&format!("https://{rest}")).map_err(|e| format!("is not a URL: {e}"))?;
    url.set_fragment(None);
    Ok(SourceUrl::Https(url))
}

fn parse_secret_manager(rest: &str) -> Result<SourceUrl, String> {
    refuse_query(rest)?;
    if rest.contains('#') {
        return Err(
            "has a `#`; a version is written sm://projects/P/secrets/S/versions/V".to_owned(),
        );
    }
    let parts = rest
        .split('/')
        .map(decode_text)
        .collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (project, secret, version) = match parts.as_slice() {
        ["projects", project, "secrets", secret] => (Some(*project), *secret, LATEST),
        ["projects", project, "secrets", secret, "versions", version] => {
            (Some(*project), *secret, *version)
        }
        ["projects", ..] | [] | [_, _, _, ..] => {
            return Err("is incomplete; write sm://projects/P/secrets/S/versions/V".to_owned());
        }
        [secret] => (None, *secret, LATEST),
        [project, secret] => (Some(*project), *secret, LATEST),
    };
    if let Some(project) = project {
        check_project(project)?;
    }
    check_secret(secret)?;
    check_version(version)?;
    Ok(SourceUrl::SecretManager {
        project: project.map(str::to_owned),
        secret: secret.to_owned(),
        version: version.to_owned(),
    })
}

const LATEST: &str = "latest";

/// A project id (6–30 characters, also with a legacy `domain:` before it) or number, as Google Cloud defines them.
fn check_project(project: &str) -> Result<(), String> {
    let problem =
        || Err("names no valid project: 6 to 30 lower-case letters, digits and hyphens".to_owned());
    if project.is_empty() {
        return Err("has an empty project".to_owned());
    }
    if project.bytes().all(|b| b.is_ascii_digit()) {
        return if project.len() <= 20 {
            Ok(())
        } else {
            problem()
        };
    }
    let (domain, id) = project.split_once(':').unwrap_or(("example.com", project));
    let domain_ok = domain.contains('.')
        && !domain.split('.').any(str::is_empty)
        && domain
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    let id_ok = (6..=30).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if domain_ok && id_ok {
        Ok(())
    } else {
        problem()
    }
}

/// Secret ids: 1–255 letters, digits, hyphens and underscores.
fn check_secret(secret: &str) -> Result<(), String> {
    if secret.is_empty() {
        return Err(
            "has an empty secret name; write sm://secret or sm://project/secret".to_owned(),
        );
    }
    if secret.len() > 255 || !secret.bytes().all(is_name_byte) {
        return Err(
            "names no valid secret: up to 255 letters, digits, hyphens and underscores".to_owned(),
        );
    }
    Ok(())
}

/// Versions: a number from 1, or an alias of up to 63 characters that starts with a letter (`latest` is one).
fn check_version(version: &str) -> Result<(), String> {
    let number =
        version.bytes().all(|b| b.is_ascii_digit()) && version.parse::<u64>().is_ok_and(|n| n > 0);
    let alias = version.starts_with(|c: char| c.is_ascii_alphabetic())
        && version.len() <= 63
        && version.bytes().all(is_name_byte);
    if number || alias {
        return Ok(());
    }
    Err("names no valid version: a number from 1, `latest`, or an alias".to_owned())
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

fn parse_gcs(rest: &str) -> Result<SourceUrl, String> {
    refuse_query(rest)?;
    let (location, generation) = match rest.split_once('#') {
        None => (rest, None),
        Some((location, generation)) => (location, Some(parse_generation(generation)?)),
    };
    let (bucket, object) = location.split_once('/').unwrap_or((location, ""));
    let (bucket, object) = (decode_text(bucket)?, decode_text(object)?);
    check_bucket(&bucket)?;
    check_object(&object)?;
    Ok(SourceUrl::Gcs {
        bucket,
        object,
        generation,
    })
}

fn parse_generation(text: &str) -> Result<i64, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|n| digits && *n > 0)
        .ok_or_else(|| {
            "has no generation number behind `#`; a `#` in an object's name is written %23"
                .to_owned()
        })
}

/// Bucket names: 3–63 characters (222 with dots, 63 between them), no IPv4 address.
fn check_bucket(bucket: &str) -> Result<(), String> {
    if bucket.is_empty() {
        return Err("has an empty bucket; write gs://bucket/object".to_owned());
    }
    let longest = if bucket.contains('.') { 222 } else { 63 };
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let sound = (3..=longest).contains(&bucket.len())
        && bucket.starts_with(edge)
        && bucket.ends_with(edge)
        && bucket.split('.').all(|part| (1..=63).contains(&part.len()))
        && bucket
            .chars()
            .all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
        && bucket.parse::<std::net::Ipv4Addr>().is_err();
    if sound {
        return Ok(());
    }
    Err("names no valid bucket: 3 to 63 lower-case letters, digits, `-`, `_` and `.`".to_owned())
}

/// Object names: 1–1024 bytes of UTF-8 without CR or LF; `.` and `..` are reserved.
fn check_object(object: &str) -> Result<(), String> {
    if object.is_empty() {
        return Err("has an empty object name; write gs://bucket/object".to_owned());
    }
    if object.len() > 1024 || matches!(object, "." | "..") || object.contains(['\r', '\n', '\0']) {
        return Err(
            "names no valid object: up to 1024 bytes, neither `.` nor `..`, on one line".to_owned(),
        );
    }
    Ok(())
}

fn parse_file(rest: &str) -> Result<SourceUrl, String> {
    refuse_query(rest)?;
    if rest.contains('#') {
        return Err("has a `#`; in a path it is written %23".to_owned());
    }
    if !rest.starts_with('/') {
        return Err("has a host or a relative path; write file:///path".to_owned());
    }
    let path = decode(rest)?;
    if path.contains(&0) {
        return Err("has a NUL in its path".to_owned());
    }
    if path.iter().all(|b| *b == b'/') {
        return Err("names no file; write file:///path".to_owned());
    }
    Ok(SourceUrl::File(PathBuf::from(OsString::from_vec(path))))
}

fn refuse_query(rest: &str) -> Result<(), String> {
    if rest.contains('?') {
        Err("has a query; a `?` in a name is written %3F".to_owned())
    } else {
        Ok(())
    }
}

fn decode_text(text: &str) -> Result<String, String> {
    String::from_utf8(decode(text)?)
        .map_err(|_| "is not UTF-8 once its %-escapes are read".to_owned())
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut nibble = || {
            bytes
                .next()
                .and_then(|b| char::from(b).to_digit(16))
                .and_then(|n| u8::try_from(n).ok())
        };
        let (Some(high), Some(low)) = (nibble(), nibble()) else {
            return Err(
                "has a `%` without two hexadecimal digits; a `%` itself is written %25".to_owned(),
            );
        };
        decoded.push(high << 4 | low);
    }
    Ok(decoded)
}

/// Writes `bytes` so that they parse back and stay on one line: printable ASCII as it is, the rest as `%XX`.
fn encode(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| match b {
        b'%' | b'?' | b'#' => write!(f, "%{b:02X}"),
        b if b.is_ascii_graphic() => write!(f, "{}", char::from(*b)),
        b => write!(f, "%{b:02X}"),
    })
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(url) => {
                write!(f, "https://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            Self::SecretManager {
                project: None,
                secret,
                ..
            } => write!(f, "sm://{secret}"),
            Self::SecretManager {
                project: Some(project),
                secret,
                version,
            } => {
                if version == LATEST && project != "projects" {
                    write!(f, "sm://{project}/{secret}")
                } else {
                    write!(
                        f,
                        "sm://projects/{project}/secrets/{secret}/versions/{version}"
                    )
                }
            }
            Self::Gcs {
                bucket,
                object,
                generation,
            } => {
                write!(f, "gs://{bucket}/")?;
                encode(f, object.as_bytes())?;
                generation.map_or(Ok(()), |generation| write!(f, "#{generation}"))
            }
            Self::File(path) => {
                f.write_str("file://")?;
                encode(f, path.as_os_str().as_bytes())
            }
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

#[cfg(test)]
mod tests;

//! The configuration that goes into a snapshot beside the database.
//!
//! Always true: no secret is in these files: of `.env` only settings that we know and that are none; what was left out is named, by
//! name alone.
//!
//! Does not: put anything back.

use std::path::{Path, PathBuf};

use agnes_config::{Settings, dotenv, env_keys};
use anyhow::{Context as _, Result};

use super::manifest::LeftOut;
use crate::host::Host;

/// Where it is in a snapshot.
pub const DIRECTORY: &str = "config";

/// The largest file that is taken for configuration, in bytes.
const LARGEST: u64 = 16 << 20;

/// What is copied, and what is not.
pub struct Configuration {
    /// Path below the deployment's directory, and the bytes.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// What is not in them.
    pub left_out: Vec<LeftOut>,
}

/// Reads it.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn read(host: &Host, settings: &Settings) -> Result<Configuration> {
    let mut files = Vec::new();
    let mut left_out = Vec::new();
    for path in paths(host, &settings.dir)? {
        let from = settings.dir.join(&path);
        let size = host.size(&from);
        let size = size.with_context(|| format!("{}: look at", from.display()))?;
        if size.is_some_and(|size| size > LARGEST) {
            left_out.push(LeftOut {
                what: path.display().to_string(),
                why: format!("it is larger than {} MiB", LARGEST >> 20),
            });
            continue;
        }
        let bytes = host.read(&from);
        let bytes = bytes.with_context(|| format!("{}: read", from.display()))?;
        if let Some(bytes) = bytes {
            files.push((path, bytes));
        }
    }
    let path = settings.dir.join(".env");
    let bytes = host.read(&path);
    let bytes = bytes.with_context(|| format!("{}: read", path.display()))?;
    if let Some(bytes) = bytes {
        let bytes = zeroize::Zeroizing::new(bytes);
        let (kept, others) = without_secrets(&bytes);
        files.push((PathBuf::from(".env"), kept));
        if !others.is_empty() {
            left_out.push(LeftOut {
                what: format!(".env: {}", others.join(", ")),
                why: "secrets, and keys that are not ours and may be some".to_owned(),
            });
        }
    }
    Ok(Configuration { files, left_out })
}

/// Where files of people's own are, as docs/compose.md names the places; `.override.` is in their names.
const OVERRIDES: [&str; 9] = [
    "",
    "caddy",
    "caddy/sites",
    "monitoring",
    "monitoring/prometheus",
    "monitoring/prometheus/rules",
    "monitoring/alertmanager",
    "monitoring/grafana/dashboards",
    "monitoring/grafana/datasources",
];

/// The files of a deployment that people write; what we render is rendered again.
fn paths(host: &Host, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("agnes.toml")];
    let list = |below: &str| {
        let directory = dir.join(below);
        let names = host.list(&directory);
        names.with_context(|| format!("{}: list", directory.display()))
    };
    for name in list("agnes.toml.d")? {
        if name.ends_with(".toml") {
            found.push(Path::new("agnes.toml.d").join(name));
        }
    }
    for below in OVERRIDES {
        for name in list(below)? {
            if name.contains(".override.") {
                found.push(Path::new(below).join(name));
            }
        }
    }
    Ok(found)
}

/// The lines of settings that are no secret, and the names of all others.
fn without_secrets(bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let parsed = dotenv::parse(bytes, &|_| None);
    let mut kept = Vec::new();
    let mut others = Vec::new();
    for entry in &parsed.entries {
        let ours = env_keys::by_env(&entry.key).is_some_and(|key| !key.is_secret());
        match bytes.get(entry.span.clone()) {
            Some(value) if ours && !entry.inherited => {
                kept.extend(entry.key.as_bytes());
                kept.push(b'=');
                kept.extend(value);
                kept.push(b'\n');
            }
            _ => others.push(entry.key.clone()),
        }
    }
    others.sort();
    others.dedup();
    (kept, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b10_only_settings_that_are_no_secret_are_taken_from_env() {
        let env = b"DOMAIN=agnes.example.com # here\nJWT_SECRET_KEY='abc'\nSMTP_PASSWORD=\"a\nb\"\nexport LOG_LEVEL=\"info\"\n";
        let (kept, others) = without_secrets(env);
        let kept = String::from_utf8(kept).unwrap();
        assert!(kept.contains("DOMAIN=agnes.example.com"), "{kept}");
        assert!(kept.contains("LOG_LEVEL=\"info\""), "{kept}");
        assert!(!kept.contains("abc") && !kept.contains("b\""), "{kept}");
        assert_eq!(others, ["JWT_SECRET_KEY", "SMTP_PASSWORD"]);
        let read = dotenv::parse(kept.as_bytes(), &|_| None);
        assert_eq!(read.faults, []);
        assert_eq!(read.get("DOMAIN").unwrap().value, "agnes.example.com");
    }
}

//! The configuration that came with the machine, as `agnes.toml` and lines of `.env`.
//!
//! Always true: it is validated whole before a byte of it is written; what a person has changed since stays as it is and is named; other keys
//! and comments of `.env` stay (B04); nothing of it is ever evaluated (B03).
//!
//! Does not: hold secrets: it names where they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agnes_config::{Loaded, Settings, SourceUrl, env_keys, load};
use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::disk::HostRecord;
use crate::env_file::EnvFile;
use crate::host::Host;
use crate::outcome::one_line;
use crate::sha256::sha256;

/// The one version of the document so far.
const VERSION: u32 = 1;
/// Where it is validated.
const STAGED: &str = ".staged-settings";
const TOML: &str = "agnes.toml";

/// What a machine is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// 1.
    version: u32,
    /// Lines of `.env`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// `agnes.toml`.
    #[serde(default)]
    settings: toml::Table,
}

impl Given {
    /// Reads a file of JSON.
    ///
    /// # Errors
    /// One clause.
    pub fn read(host: &Host, path: &Path) -> Result<Self> {
        let named = || format!("{}", path.display());
        let bytes = host.read(path).with_context(named)?;
        let bytes = bytes.with_context(|| format!("{}: there is no such file", path.display()))?;
        Self::parse(&bytes).with_context(named)
    }

    /// Of JSON; what is `null` is left out.
    ///
    /// # Errors
    /// What it is not.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        let given: Self = serde_json::from_value(without_nulls(value))?;
        anyhow::ensure!(
            given.version == VERSION,
            "version is {} (expected {VERSION})",
            given.version
        );
        given.refuse_secrets()?;
        Ok(given)
    }

    /// What a machine is given stands in its metadata and in Terraform's state, where everybody who may look at the machine reads it (B10).
    fn refuse_secrets(&self) -> Result<()> {
        let secret = |key: &str| env_keys::by_env(key).is_some_and(env_keys::Key::is_secret);
        let named = self.env().find(|(key, value)| {
            secret(key) && !matches!(value.parse(), Ok(SourceUrl::SecretManager { .. }))
        });
        match named {
            Some((key, _)) => anyhow::bail!(
                "env.{key} is a secret (expected sm://<secret>, or nothing: it is made on the host)"
            ),
            None => Ok(()),
        }
    }

    /// What `.env` shall say, in the order of its keys.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn toml(&self) -> Result<String> {
        let text = toml::to_string(&self.settings).context("settings")?;
        Ok(format!(
            "# As this machine was given it. A boot writes it anew until a person has changed it.\n{text}"
        ))
    }
}

fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        serde_json::Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// What was written, or would be.
    pub written: Vec<String>,
    /// What a person has changed since, and stays.
    pub kept: Vec<String>,
}

/// Whether it is only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is done.
    Real,
    /// It is only said.
    Dry,
}

/// Writes what is new of it.
///
/// # Errors
/// What is wrong with it, with nothing written; or what the host refuses.
pub fn seed(host: &Host, dir: &Path, given: &Given, run: Run) -> Result<Seeded> {
    let mut record = HostRecord::read(host, dir)?;
    let mut seeded = Seeded::default();
    let text = given.toml()?;
    // a look leaves nothing, also not where there is no directory yet
    let staged = match run {
        Run::Real => dir.join(STAGED),
        Run::Dry => given.scratch(),
    };
    validate(host, &staged, given, &text)?;
    let path = dir.join(TOML);
    let there = host
        .read(&path)
        .with_context(|| format!("{}: read", path.display()))?;
    let is_ours = |name: &str, there: &[u8], record: &HostRecord| {
        record.seeded.get(name) == Some(&sha256(there))
    };
    match &there {
        Some(bytes) if bytes.as_slice() == text.as_bytes() => {}
        Some(bytes) if !is_ours(TOML, bytes, &record) => seeded.kept.push(TOML.to_owned()),
        _ => seeded.written.push(TOML.to_owned()),
    }
    let env_file = EnvFile::read(host, dir, &|_| None)?;
    let mut pairs = Vec::new();
    for (key, value) in given.env() {
        let name = format!(".env/{key}");
        match env_file.text(key) {
            Some(there) if there == value => {}
            Some(there) if !is_ours(&name, there.as_bytes(), &record) => seeded.kept.push(name),
            _ => {
                seeded.written.push(name);
                pairs.push((key, value));
            }
        }
    }
    if run == Run::Dry {
        return Ok(seeded);
    }
    if seeded.written.iter().any(|name| name == TOML) {
        host.install(&path, text.as_bytes(), 0o644, None)?;
    }
    if !pairs.is_empty() {
        env_file.write(host, &pairs)?;
    }
    let before = record.clone();
    for name in &seeded.written {
        let value = match name.strip_prefix(".env/") {
            Some(key) => given.env.get(key).map(String::as_str).unwrap_or_default(),
            None => &text,
        };
        record.seeded.insert(name.clone(), sha256(value.as_bytes()));
    }
    if record != before {
        record.write(host, dir)?;
    }
    Ok(seeded)
}

/// As a deployment of its own: what is wrong with it has a line each.
fn validate(host: &Host, at: &Path, given: &Given, text: &str) -> Result<()> {
    let loaded = staged(host, at, given, text, |_| ())?.0;
    refuse_problems(&loaded)
}

fn refuse_problems(loaded: &Loaded) -> Result<()> {
    if loaded.problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = loaded
        .problems
        .iter()
        .map(|problem| one_line(&problem.to_string()))
        .collect();
    anyhow::bail!("{}", lines.join("; "))
}

/// A directory that is there for as long as it takes to load it, and to look at it.
fn staged<T>(
    host: &Host,
    at: &Path,
    given: &Given,
    text: &str,
    look: impl FnOnce(&Path) -> T,
) -> Result<(Loaded, T)> {
    host.remove_flat_dir(at)?;
    host.make_dir_as(at, 0o700, None)?;
    let done = (|| {
        host.install(&at.join(TOML), text.as_bytes(), 0o600, None)?;
        let pairs: Vec<(&str, &str)> = given.env().collect();
        EnvFile::read(host, at, &|_| None)?.write(host, &pairs)?;
        anyhow::Ok((load(at, [], &[]), look(at)))
    })();
    host.remove_flat_dir(at)?;
    done
}

impl Given {
    /// What it comes to, for a deployment in the usual place.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn settings(&self, host: &Host) -> Result<Settings> {
        let (loaded, ()) = staged(host, &self.scratch(), self, &self.toml()?, |_| ())?;
        refuse_problems(&loaded)?;
        let mut settings = loaded.settings.context("no settings")?;
        settings.dir = "/opt/agnes".into();
        Ok(settings)
    }

    /// The `.env` that it begins with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn env_text(&self, host: &Host) -> Result<String> {
        let read = |at: &Path| host.read(&at.join(".env"));
        let (loaded, env) = staged(host, &self.scratch(), self, &self.toml()?, read)?;
        refuse_problems(&loaded)?;
        Ok(String::from_utf8(env?.unwrap_or_default())?)
    }

    /// A name that no other process uses.
    fn scratch(&self) -> PathBuf {
        std::env::temp_dir().join(format!("agnes-ops-render-{}", std::process::id()))
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests write and read files themselves"
)]
mod tests {
    use super::*;
    use crate::host::Checkpoints;

    fn given(text: &str) -> Given {
        Given::parse(text.as_bytes()).unwrap()
    }

    fn run(dir: &Path, given: &Given) -> Seeded {
        seed(&Host::new(Checkpoints::default()), dir, given, Run::Real).unwrap()
    }

    #[test]
    fn b04_what_a_person_wrote_stays_and_what_we_wrote_follows() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), "# ours\nCADDY_IMAGE=mine\n").unwrap();
        let first = given(
            r#"{"version":1,"env":{"DOMAIN":"a.example.com","AGNES_TAG":"stable"},"settings":{"upgrade":{"mode":"manual","window":null}}}"#,
        );
        let seeded = run(dir.path(), &first);
        assert_eq!(
            seeded.written,
            ["agnes.toml", ".env/AGNES_TAG", ".env/DOMAIN"]
        );
        assert_eq!(run(dir.path(), &first), Seeded::default());
        let env = || std::fs::read_to_string(dir.path().join(".env")).unwrap();
        assert!(env().starts_with("# ours\nCADDY_IMAGE=mine\n"), "{}", env());

        // a person's turn
        let edited = env().replace("a.example.com", "b.example.com");
        std::fs::write(dir.path().join(".env"), edited).unwrap();
        let second = given(
            r#"{"version":1,"env":{"DOMAIN":"c.example.com","AGNES_TAG":"1.2"},"settings":{"upgrade":{"mode":"off"}}}"#,
        );
        let seeded = run(dir.path(), &second);
        assert_eq!(seeded.kept, [".env/DOMAIN"]);
        assert_eq!(seeded.written, ["agnes.toml", ".env/AGNES_TAG"]);
        assert!(
            env().contains("b.example.com") && env().contains("1.2"),
            "{}",
            env()
        );

        std::fs::write(dir.path().join("agnes.toml"), "# mine\n").unwrap();
        assert_eq!(run(dir.path(), &first).kept, ["agnes.toml", ".env/DOMAIN"]);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("agnes.toml")).unwrap(),
            "# mine\n"
        );
    }

    #[test]
    fn b08_what_is_wrong_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(Checkpoints::default());
        let wrong = given(
            r#"{"version":1,"env":{"DOMAIN":"not a name"},"settings":{"upgrade":{"mode":"of"}}}"#,
        );
        let why = seed(&host, dir.path(), &wrong, Run::Real)
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("agnes.toml:") && why.contains("DOMAIN"),
            "{why}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        for text in [
            "",
            "[]",
            r#"{"version":2}"#,
            r#"{"version":1,"secrets":{}}"#,
        ] {
            assert!(Given::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn b03_values_are_data() {
        let dir = tempfile::tempdir().unwrap();
        let odd = "$(touch pwned) `id` 'q' \"d\" # c \\ ${HOME} %s";
        let document = serde_json::json!({"version": 1, "env": {"TLS_CSR_SUBJECT": "/O=a$(id)`b`/CN=x", "FOREIGN": odd}});
        let given = Given::parse(document.to_string().as_bytes()).unwrap();
        run(dir.path(), &given);
        let bytes = std::fs::read(dir.path().join(".env")).unwrap();
        let parsed = agnes_config::dotenv::parse(&bytes, &|_| None);
        assert_eq!(parsed.get("FOREIGN").unwrap().value.as_str(), odd);
    }
}

//! The configuration that came with a machine: one document, in the vocabulary of `.env` and `agnes.toml`.
//!
//! Always true: it is judged as a deployment's settings are, whole, and from memory; it holds no secret, only where they are.
//!
//! Does not: write anything (`seed` does).

use std::collections::BTreeMap;
use std::path::Path;

use agnes_config::{Settings, SourceUrl, dotenv, env_keys, load_texts};
use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::host::Host;
use crate::outcome::one_line;

/// The one version of the document so far.
const VERSION: u32 = 1;
/// Where a machine's deployment is.
const DIR: &str = "/opt/agnes";

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
        let named = || path.display().to_string();
        let bytes = host.read(path).with_context(named)?;
        let bytes = bytes.with_context(|| format!("{}: there is no such file", path.display()))?;
        Self::parse(&bytes).with_context(named)
    }

    /// Of JSON; what is `null` is left out.
    ///
    /// # Errors
    /// What it is not, or what is wrong with the settings that it comes to, all of them.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        anyhow::ensure!(value.is_object(), "is no object");
        let given: Self = serde_json::from_value(without_nulls(value))?;
        anyhow::ensure!(
            given.version == VERSION,
            "version is {} (expected {VERSION})",
            given.version
        );
        given.refuse_secrets()?;
        given.settings()?;
        Ok(given)
    }

    /// What a machine is given stands in its metadata and in Terraform's state, where everybody who may look at the machine reads it (B10).
    fn refuse_secrets(&self) -> Result<()> {
        let secret = |key: &str| env_keys::by_env(key).is_some_and(env_keys::Key::is_secret);
        let named = self.env().find(|(key, value)| {
            secret(key) && !matches!(value.parse(), Ok(SourceUrl::SecretManager { .. }))
        });
        if let Some((key, _)) = named {
            anyhow::bail!(
                "env.{key} is a secret (expected sm://<secret>, or nothing: it is made on the host)"
            );
        }
        if let Some((key, _)) = self
            .env()
            .find(|(key, _)| env_keys::by_secret_file(key).is_some())
        {
            anyhow::bail!(
                "env.{key} is written by agnes-ops, which keeps the secret (expected nothing)"
            );
        }
        if let Some((key, _)) = self.env().find(|(_, value)| has_user(value)) {
            anyhow::bail!("env.{key} is a URL with a user in it (expected one without)");
        }
        let settings = toml::Value::Table(self.settings.clone());
        match url_with_user(&settings, "settings") {
            Some(path) => {
                anyhow::bail!("{path} is a URL with a user in it (expected one without)")
            }
            None => Ok(()),
        }
    }

    /// What `.env` shall say, in the order of its keys.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether it says anything of a key of `.env`.
    pub fn has(&self, key: &str) -> bool {
        self.env.contains_key(key)
    }

    /// The `agnes.toml` that it begins with.
    ///
    /// # Errors
    /// When TOML cannot say it.
    pub fn toml(&self) -> Result<String> {
        let text = toml::to_string(&self.settings).context("settings")?;
        Ok(format!(
            "# As this machine was given it. A boot writes it anew until a person has changed it.\n{text}"
        ))
    }

    /// The `.env` that it begins with.
    ///
    /// # Errors
    /// When a `.env` cannot say it.
    pub fn dotenv(&self) -> Result<Vec<u8>> {
        let pairs: Vec<(&str, &str)> = self.env().collect();
        dotenv::upsert(b"", &pairs).context("env")
    }

    /// What it comes to on a machine that has nothing else.
    ///
    /// # Errors
    /// What is wrong with it, all of it.
    pub fn settings(&self) -> Result<Settings> {
        let loaded = load_texts(Path::new(DIR), &self.toml()?, &self.dotenv()?);
        let problems = loaded.problems.iter();
        let problems: Vec<String> = problems
            .map(|problem| one_line(&problem.to_string()))
            .collect();
        loaded
            .settings
            .ok_or_else(|| anyhow::anyhow!("{}", problems.join("; ")))
    }
}

/// Whether a text is a URL that says who asks, with a password or to a server on https.
fn has_user(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    url.password().is_some() || url.scheme() == "https" && !url.username().is_empty()
}

/// The path of the first one.
fn url_with_user(value: &toml::Value, path: &str) -> Option<String> {
    match value {
        toml::Value::String(text) => has_user(text).then(|| path.to_owned()),
        toml::Value::Array(items) => items.iter().find_map(|item| url_with_user(item, path)),
        toml::Value::Table(table) => table
            .iter()
            .find_map(|(key, value)| url_with_user(value, &format!("{path}.{key}"))),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b08_what_is_wrong_is_named_all_of_it() {
        let wrong =
            r#"{"version":1,"env":{"DOMAIN":"not a name"},"settings":{"upgrade":{"mode":"of"}}}"#;
        let why = Given::parse(wrong.as_bytes()).unwrap_err().to_string();
        assert!(
            why.contains("agnes.toml:") && why.contains("DOMAIN"),
            "{why}"
        );
        for text in [
            "",
            "[]",
            r#"{"version":2}"#,
            r#"{"version":1,"secrets":{}}"#,
            r#"[1,{},{}]"#,
            r#"{"version":1,"env":{"JWT_SECRET_KEY_FILE":"/etc/jwt"}}"#,
            r#"{"version":1,"env":{"A B":"x"}}"#,
        ] {
            assert!(Given::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn b10_a_secret_is_named_and_never_given() {
        let with = |value: &str| {
            let document = serde_json::json!({"version": 1, "env": {"JWT_SECRET_KEY": value}});
            Given::parse(document.to_string().as_bytes())
        };
        assert!(with("sm://jwt").is_ok());
        assert!(with("0123456789abcdef0123456789abcdef").is_err());
        for document in [
            serde_json::json!({"version": 1, "env": {"TLS_FULLCHAIN_URL": "https://hunter2@example.com/x"}}),
            serde_json::json!({"version": 1, "env": {"HTTPS_PROXY": "http://proxy:hunter2@example.com"}}),
            serde_json::json!({"version": 1, "settings": {"tls": {"fullchain_url": "https://u:hunter2@example.com/x"}}}),
        ] {
            let why = Given::parse(document.to_string().as_bytes()).unwrap_err();
            let why = format!("{why:#}");
            assert!(
                why.contains("a user in it") && !why.contains("hunter2"),
                "{why}"
            );
        }
    }

    #[test]
    fn b03_values_are_data() {
        let odd = "$(touch pwned) `id` 'q' \"d\" # c \\ ${HOME} %s";
        let document = serde_json::json!({"version": 1, "env": {"FOREIGN": odd}});
        let given = Given::parse(document.to_string().as_bytes()).unwrap();
        let parsed = dotenv::parse(&given.dotenv().unwrap(), &|_| None);
        assert_eq!(parsed.get("FOREIGN").unwrap().value.as_str(), odd);
    }
}

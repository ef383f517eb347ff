//! The credential for a registry, from the Docker client's own configuration.
//!
//! Always true: absent is told from unreadable and malformed; a helper is asked over its input, and what it says is in no message.
//!
//! Does not: send it anywhere, or know Google's machines (the fetch does).

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::Secret;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use crate::fetch::Login;
use crate::host::{Host, RunError};

/// How long a helper may take.
const HELPER: Duration = Duration::from_secs(10);
/// What the Docker client calls its own registry in its files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Where the Docker client keeps its configuration.
#[derive(Debug, Clone)]
pub struct Home {
    /// `config.json`; `None`: no user, no file.
    config: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Home {
    /// `$DOCKER_CONFIG`, else `$HOME/.docker`.
    pub fn of(docker_config: Option<&str>, home: Option<&str>) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
        let dir = given(docker_config).or_else(|| given(home).map(|home| home.join(".docker")));
        Self {
            config: dir.map(|dir| dir.join("config.json")),
        }
    }

    /// The credential for this registry, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a helper that it names fails.
    pub fn login(&self, host: &Host, registry: &str) -> Result<Option<Login>> {
        let Some(path) = &self.config else {
            return Ok(None);
        };
        let shown = path.display();
        let bytes = host.read(path).with_context(|| format!("{shown}: read"))?;
        let Some(bytes) = bytes.map(Zeroizing::new) else {
            return Ok(None);
        };
        // the parser's own words may repeat a part of it
        let config: Config = serde_json::from_slice(&bytes)
            .map_err(|_| anyhow::anyhow!("{shown}: is no configuration of the Docker client"))?;
        if let Some(helper) = config.helpers.get(registry) {
            return helped(host, path, helper, registry);
        }
        if let Some(store) = &config.store {
            return helped(host, path, store, name_in_files(registry));
        }
        let auth = config.auths.iter().find(|(name, _)| is_of(name, registry));
        match auth {
            Some((_, auth)) => read(auth)
                .with_context(|| format!("{shown}: the entry of {registry} is no credential")),
            None => Ok(None),
        }
    }
}

fn name_in_files(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// Keys of `auths` are hosts, or URLs of old.
fn is_of(key: &str, registry: &str) -> bool {
    if key == name_in_files(registry) {
        return true;
    }
    let host = key
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    host.split('/').next() == Some(registry)
}

fn read(auth: &Auth) -> Result<Option<Login>> {
    let login = |user: &str, password: &str| Login {
        user: user.to_owned(),
        password: Secret::new(password),
    };
    if !auth.identity_token.is_empty() {
        return Ok(Some(login("", &auth.identity_token)));
    }
    if !auth.username.is_empty() {
        return Ok(Some(login(&auth.username, &auth.password)));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let pair = base64::engine::general_purpose::STANDARD
        .decode(auth.auth.trim_end_matches('\0'))
        .map(Zeroizing::new)
        .map_err(|_| anyhow::anyhow!("not base64"))?;
    let pair = std::str::from_utf8(&pair).map_err(|_| anyhow::anyhow!("not UTF-8"))?;
    let (user, password) = pair.split_once(':').context("not user:password")?;
    Ok(Some(login(user, password.trim_end_matches('\0'))))
}

fn helped(host: &Host, config: &Path, helper: &str, registry: &str) -> Result<Option<Login>> {
    let shown = config.display();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    anyhow::ensure!(
        !helper.is_empty() && helper.chars().all(plain),
        "{shown}: {helper:?} is no name of a credential helper"
    );
    let program = format!("docker-credential-{helper}");
    match host.run_fed(&[&program, "get"], registry.as_bytes(), HELPER) {
        Ok(ran) if ran.code == 0 => {
            let answer = Zeroizing::new(ran.stdout);
            let helped: Helped = serde_json::from_str(&answer)
                .map_err(|_| anyhow::anyhow!("{program}: its answer is no credential"))?;
            let user = match helped.username.as_str() {
                "<token>" => "",
                user => user,
            };
            Ok(Some(Login {
                user: user.to_owned(),
                password: Secret::new(&helped.secret),
            }))
        }
        Ok(ran) if ran.stdout.contains("credentials not found") => Ok(None),
        Ok(ran) => anyhow::bail!("{program}: exit {} for {registry}", ran.code),
        Err(RunError::NoProgram) => anyhow::bail!("{shown} names {program}, which is not there"),
        Err(error) => anyhow::bail!("{program}: {error}"),
    }
}

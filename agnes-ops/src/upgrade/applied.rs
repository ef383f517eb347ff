//! What was last applied: the files that containers are made from or have mounted, and the image that each service ran.
//!
//! Always true: a value of `.env` is never kept, only a hash over all that matters; secrets that the server reads again by itself do
//! not matter here.
//!
//! Does not: apply anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agnes_config::{Settings, dotenv, env_keys};
use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::SERVICE;
use super::pin::listed;
use crate::deployment::Deployment;
use crate::engine::{Container, Engine};
use crate::env_file::Lookup;
use crate::host::{Entry, Host};
use crate::render::{OVERRIDE, PIN};
use crate::state_file;

/// Directories that are mounted, below the deployment's.
const MOUNTED: [&str; 3] = ["caddy", "config", "monitoring"];
const ENV: &str = ".env";

/// The whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// SHA-256 of each file, below the deployment's directory.
    pub files: BTreeMap<String, String>,
    /// The image's own id, of every service that had a container.
    pub images: BTreeMap<String, String>,
}

/// Something that is not as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// A file's name, or a service's.
    pub what: String,
    /// `file-changed`, `file-added`, `file-removed`, `service-absent` or `service-image`.
    pub kind: &'static str,
}

impl Drift {
    fn of(what: &str, kind: &'static str) -> Self {
        let what = what.to_owned();
        Self { what, kind }
    }

    /// Whether the proxy has it mounted.
    pub fn is_of_the_proxy(&self) -> bool {
        self.what.starts_with("caddy/")
    }

    /// Whether the server has it mounted.
    pub fn is_of_the_server(&self) -> bool {
        self.what.starts_with("config/")
    }

    /// Whether `render compose` makes something else of it.
    pub fn is_rendered(&self) -> bool {
        self.what == ENV || self.what == OVERRIDE || self.what.starts_with("agnes.toml")
    }
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/applied.json")
}

impl Applied {
    /// What is kept; `None`: nothing was applied by us yet.
    ///
    /// # Errors
    /// When it is there and not understood.
    pub fn read(host: &Host, settings: &Settings) -> Result<Option<Self>> {
        state_file::read(host, &path(settings))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, host: &Host, settings: &Settings) -> Result<()> {
        state_file::write(host, &path(settings), self)
    }

    /// How things are.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn look(
        deployment: Deployment<'_>,
        containers: &[Container],
        lookup: Lookup<'_>,
    ) -> Result<Self> {
        let Deployment { host, settings, .. } = deployment;
        let dir = &settings.dir;
        let mut names = listed(host, dir, lookup)?;
        // Compose is told of a person's own only when it is rendered anew
        names.extend([OVERRIDE, "agnes.toml"].map(str::to_owned));
        names.extend(
            host.list(&dir.join("agnes.toml.d"))?
                .into_iter()
                .filter(|name| name.ends_with(".toml"))
                .map(|name| format!("agnes.toml.d/{name}")),
        );
        for mounted in MOUNTED {
            below(host, dir, Path::new(mounted), &mut names)?;
        }
        let mut files = BTreeMap::new();
        for name in names {
            let at = dir.join(&name);
            if host.size(&at)?.is_some() {
                let sum = host.sha256(&at);
                let sum = sum.with_context(|| format!("{}: read", at.display()))?;
                files.insert(name, sum);
            }
        }
        let env = host.read(&dir.join(ENV)).context(ENV)?;
        files.insert(ENV.to_owned(), of_env(&env.unwrap_or_default()));
        let images = containers
            .iter()
            // one that was made and never started is as good as none (U12)
            .filter(|one| one.state != "created")
            .map(|one| (one.service.clone(), one.image_id.clone()))
            .collect();
        Ok(Self { files, images })
    }

    /// What is not as it was applied.
    pub fn drift(&self, now: &Self) -> Vec<Drift> {
        let mut found = Vec::new();
        for (name, then) in &self.files {
            match now.files.get(name) {
                None => found.push(Drift::of(name, "file-removed")),
                Some(sum) if sum != then => found.push(Drift::of(name, "file-changed")),
                Some(_) => {}
            }
        }
        for name in now.files.keys() {
            if !self.files.contains_key(name) {
                found.push(Drift::of(name, "file-added"));
            }
        }
        for (service, then) in &self.images {
            match now.images.get(service) {
                None => found.push(Drift::of(service, "service-absent")),
                // which image the server runs is what upgrades are about
                Some(image) if image != then && service != SERVICE => {
                    found.push(Drift::of(service, "service-image"));
                }
                Some(_) => {}
            }
        }
        found
    }
}

/// An upgrade has changed the pin and the server's image, and nothing else.
///
/// # Errors
/// When the files cannot be read or written.
pub fn swapped(deployment: Deployment<'_>, image_id: &str) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let Some(mut applied) = Applied::read(host, settings)? else {
        return Ok(());
    };
    let pin = settings.dir.join(PIN);
    if host.size(&pin)?.is_some() {
        applied.files.insert(PIN.to_owned(), host.sha256(&pin)?);
    }
    applied
        .images
        .insert(SERVICE.to_owned(), image_id.to_owned());
    applied.write(host, settings)
}

/// Everything is as it was applied; before the first tick that looks, nothing is kept.
///
/// # Errors
/// When something cannot be looked at or written.
pub fn all(deployment: Deployment<'_>, engine: &Engine, lookup: Lookup<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let containers = engine.containers(&settings.dir)?;
    Applied::look(deployment, &containers, lookup)?.write(host, settings)
}

/// Every file below a directory.
fn below(host: &Host, dir: &Path, directory: &Path, names: &mut Vec<String>) -> Result<()> {
    let at = dir.join(directory);
    let listed = host.list(&at);
    for name in listed.with_context(|| format!("{}: list", at.display()))? {
        let path = directory.join(name);
        match host.entry(&dir.join(&path))? {
            Entry::Directory => below(host, dir, &path, names)?,
            Entry::File { .. } | Entry::Link(_) => names.push(path.display().to_string()),
            Entry::Absent | Entry::Other => {}
        }
    }
    Ok(())
}

/// One hash over the keys and values that containers are made from. Secrets that the server reads again are left out, and which files
/// Compose is given: those are looked at themselves.
fn of_env(bytes: &[u8]) -> String {
    // a person's shell and a timer must not see two files in one
    let parsed = dotenv::parse(bytes, &|_| None);
    let mut pairs = BTreeMap::new();
    for entry in &parsed.entries {
        let reread = env_keys::by_env(&entry.key).is_some_and(env_keys::Key::is_secret);
        if !reread && entry.key != "COMPOSE_FILE" {
            pairs.insert(entry.key.as_str(), entry.value.as_str());
        }
    }
    let mut context = Context::new(&SHA256);
    for (key, value) in pairs {
        context.update(key.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        context.update(&[0]);
    }
    crate::sha256::hex(context.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(files: &[(&str, &str)], images: &[(&str, &str)]) -> Applied {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        Applied {
            files: map(files),
            images: map(images),
        }
    }

    #[test]
    fn u12_a_changed_file_and_a_missing_service_are_drift_and_the_server_s_image_is_not() {
        let then = applied(
            &[("a", "1"), ("b", "1"), ("c", "1")],
            &[("app", "x"), ("caddy", "x"), ("jobs", "x")],
        );
        let now = applied(
            &[("a", "1"), ("b", "2"), ("d", "1")],
            &[("app", "y"), ("caddy", "y")],
        );
        let found: Vec<(String, &str)> = then
            .drift(&now)
            .into_iter()
            .map(|one| (one.what, one.kind))
            .collect();
        let wanted = [
            ("b", "file-changed"),
            ("c", "file-removed"),
            ("d", "file-added"),
            ("caddy", "service-image"),
            ("jobs", "service-absent"),
        ];
        let wanted: Vec<(String, &str)> = wanted
            .into_iter()
            .map(|(what, kind)| (what.to_owned(), kind))
            .collect();
        assert_eq!(found, wanted);
        assert_eq!(then.drift(&then), []);
    }

    #[test]
    fn b10_a_rotated_secret_is_no_drift_and_any_other_value_is() {
        let hash = |text: &str| of_env(text.as_bytes());
        let before = hash("LOG_LEVEL=info\nJWT_SECRET_KEY=a\n# x\n");
        assert_eq!(
            before,
            hash("JWT_SECRET_KEY=b\nLOG_LEVEL='info'\nCOMPOSE_FILE=x.yml\n")
        );
        assert_ne!(before, hash("LOG_LEVEL=warn\nJWT_SECRET_KEY=a\n"));
        assert_ne!(before, hash("LOG_LEVEL=info\nOTHER=1\n"));
    }
}

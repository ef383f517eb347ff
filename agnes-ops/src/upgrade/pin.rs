//! `docker-compose.pin.yml`: the one version that Compose runs, whatever tags point to.
//!
//! Always true: it names the image by digest, or by a tag of ours that is never moved; `.env` lists it among Compose's files, so that
//! a person's `docker compose up` runs the same.
//!
//! Does not: start anything.

use std::path::Path;

use anyhow::Result;

use super::SERVICE;
use super::transaction::Release;
use crate::deployment::Deployment;
use crate::env_file::{EnvFile, Lookup};
use crate::host::Host;
use crate::render::{OVERRIDE, PIN};

/// What Compose looks for when nobody says, in its order, with the override of each.
const USUAL: [(&str, &str); 4] = [
    ("compose.yaml", "compose.override.yaml"),
    ("compose.yml", "compose.override.yml"),
    ("docker-compose.yml", OVERRIDE),
    ("docker-compose.yaml", "docker-compose.override.yaml"),
];

/// Pins a version.
///
/// # Errors
/// When the files cannot be written.
pub fn write(deployment: Deployment<'_>, lookup: Lookup<'_>, release: &Release) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let dir = &settings.dir;
    let text = text(release);
    let path = dir.join(PIN);
    if host.read(&path)?.as_deref() != Some(text.as_bytes()) {
        host.install(&path, text.as_bytes(), 0o644, None)?;
    }
    let env_file = EnvFile::read(host, dir, lookup)?;
    let listed = env_file.value("COMPOSE_FILE").map(str::to_owned);
    let files = with_pin(listed.as_deref(), |name| is_there(host, dir, name));
    let pairs = [("COMPOSE_FILE", files.as_str())];
    if !env_file.is(&pairs) {
        env_file.write(host, &pairs)?;
    }
    Ok(())
}

fn text(release: &Release) -> String {
    let digest = release.digest.as_ref().map_or(String::new(), |digest| {
        format!("    environment:\n      AGNES_IMAGE_DIGEST: {digest}\n")
    });
    format!(
        "# Written by agnes-ops upgrade; edits here are lost.\nservices:\n  {SERVICE}:\n    image: {}\n{digest}",
        release.image
    )
}

/// The files that Compose is given, below the deployment's directory.
///
/// # Errors
/// When `.env` cannot be read.
pub fn listed(host: &Host, dir: &Path, lookup: Lookup<'_>) -> Result<Vec<String>> {
    let env_file = EnvFile::read(host, dir, lookup)?;
    let files = files(env_file.value("COMPOSE_FILE"), |name| {
        is_there(host, dir, name)
    });
    Ok(files)
}

fn files(listed: Option<&str>, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    if let Some(listed) = listed {
        return listed.split(':').map(str::to_owned).collect();
    }
    let found = USUAL.iter().find(|(name, _)| is_there(name));
    let (name, own) = found.copied().unwrap_or(("docker-compose.yml", OVERRIDE));
    let own = Some(own).filter(|own| is_there(own));
    let both = [Some(name), own].into_iter().flatten();
    both.map(str::to_owned).collect()
}

/// `COMPOSE_FILE` with the pin in it: behind the shipped files, before a person's own.
fn with_pin(listed: Option<&str>, is_there: impl Fn(&str) -> bool) -> String {
    let mut files = files(listed, is_there);
    files.retain(|file| file != PIN);
    let own = files.iter().position(|file| file.contains(".override."));
    files.insert(own.unwrap_or(files.len()), PIN.to_owned());
    files.join(":")
}

fn is_there(host: &Host, dir: &Path, name: &str) -> bool {
    host.size(&dir.join(name)).is_ok_and(|size| size.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_stands_behind_what_is_shipped_and_before_a_persons_own() {
        let there = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        for (listed, names, wanted) in [
            (
                None,
                &["docker-compose.yml"][..],
                "docker-compose.yml:docker-compose.pin.yml",
            ),
            (
                None,
                &["docker-compose.yml", "docker-compose.override.yml"],
                "docker-compose.yml:docker-compose.pin.yml:docker-compose.override.yml",
            ),
            (
                None,
                &["compose.yaml"],
                "compose.yaml:docker-compose.pin.yml",
            ),
            (
                Some("docker-compose.yml:docker-compose.tls.yml:docker-compose.override.yml"),
                &[],
                "docker-compose.yml:docker-compose.tls.yml:docker-compose.pin.yml:docker-compose.override.yml",
            ),
            (
                Some("docker-compose.yml:docker-compose.pin.yml"),
                &[],
                "docker-compose.yml:docker-compose.pin.yml",
            ),
        ] {
            assert_eq!(with_pin(listed, there(names)), wanted);
        }
    }
}

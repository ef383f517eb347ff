//! Docker: there, running, and new enough; installed from the distribution's own packages where that is allowed.
//!
//! Always true: no source of packages is added; a distribution that has no Docker that is new enough is named, and left alone.
//!
//! Does not: update one that is there.

use std::path::Path;
use std::time::Duration;

use agnes_config::{Consent, Settings};
use anyhow::{Context as _, Result};

use crate::host::{Host, RunError};
use crate::systemd;
use crate::units::Root;

/// How long packages may take to install.
const INSTALL: Duration = Duration::from_secs(900);
/// How long the engine may take to answer after its start.
const ANSWERS: Duration = Duration::from_secs(60);
/// What tells one distribution from another.
const OS_RELEASE: &str = "/etc/os-release";
/// The packages of Ubuntu 24.04.
const PACKAGES: [&str; 2] = ["docker.io", "docker-compose-v2"];

/// What is there of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// There is no `docker` program, or it knows no Compose.
    Program(&'static str),
    /// The engine does not answer.
    Engine(String),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program(name) => write!(f, "install {name}"),
            Self::Engine(why) => write!(f, "start the Docker engine, which does not answer: {why}"),
        }
    }
}

/// Looks.
///
/// # Errors
/// When a program cannot be run.
pub fn look(host: &Host) -> Result<Option<Missing>> {
    let answer = |argv: &[&str]| host.run(argv, None, Duration::from_secs(30));
    match answer(&["docker", "compose", "version", "--short"]) {
        Ok(ran) if ran.code == 0 => {}
        Ok(_) => return Ok(Some(Missing::Program("docker compose"))),
        Err(RunError::NoProgram) => return Ok(Some(Missing::Program("docker"))),
        Err(error) => anyhow::bail!("docker compose version: {error}"),
    }
    match answer(&["docker", "version", "--format", "{{.Server.Version}}"]) {
        Ok(ran) if ran.code == 0 => Ok(None),
        Ok(ran) => Ok(Some(Missing::Engine(ran.last_line().to_owned()))),
        Err(error) => Ok(Some(Missing::Engine(error.to_string()))),
    }
}

/// Makes it be there; what was done.
///
/// # Errors
/// A clause for a person: what is missing, and why it was not installed.
pub fn converge(host: &Host, settings: &Settings, root: Root<'_>) -> Result<Vec<String>> {
    let mut did = Vec::new();
    let found = look(host)?;
    if let (Some(missing), false) = (&found, root.is_this_host()) {
        anyhow::bail!("{missing}: not done for a tree");
    }
    if let Some(Missing::Program(name)) = found {
        install(host, settings, name)?;
        did.push(format!("install {}", PACKAGES.join(" ")));
    }
    let begun = host.instant();
    let mut started = false;
    loop {
        match look(host)? {
            None => return Ok(did),
            Some(Missing::Program(name)) => {
                anyhow::bail!("{name}: was installed, and is not there")
            }
            Some(Missing::Engine(why)) => {
                if !started && systemd::is_running() {
                    started = true;
                    systemd::act(host, "start", &["docker.service"], ANSWERS)
                        .map_err(anyhow::Error::msg)?;
                    did.push("start docker.service".to_owned());
                }
                anyhow::ensure!(
                    begun.elapsed() < ANSWERS && systemd::is_running(),
                    "the Docker engine does not answer: {why}"
                );
            }
        }
        host.sleep(Duration::from_millis(500));
    }
}

fn install(host: &Host, settings: &Settings, missing: &str) -> Result<()> {
    let (id, version) = distribution(host)?;
    let known = (id.as_str(), version.as_str()) == ("ubuntu", "24.04");
    anyhow::ensure!(
        known,
        "there is no {missing} program, and {id} {version} is not known to have one that is new enough in its own packages: \
         install Docker 20.10 and Compose 2.24, or newer"
    );
    anyhow::ensure!(
        settings.machine.install_docker == Consent::Given,
        "there is no {missing} program: set host.install_docker = true, or install {}",
        PACKAGES.join(" and ")
    );
    let wait = "-oDPkg::Lock::Timeout=300";
    let front = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", wait];
    apt(host, &[&front[..], &["update"]].concat())?;
    let install = ["install", "--yes", "--no-install-recommends"];
    apt(host, &[&front[..], &install, &PACKAGES].concat())
}

fn apt(host: &Host, argv: &[&str]) -> Result<()> {
    match host.run(argv, None, INSTALL) {
        Ok(ran) if ran.code == 0 => Ok(()),
        Ok(ran) => anyhow::bail!("apt-get: {}", ran.last_line()),
        Err(error) => anyhow::bail!("apt-get: {error}"),
    }
}

/// Its id and version, as `/etc/os-release` says.
fn distribution(host: &Host) -> Result<(String, String)> {
    let text = host
        .read(Path::new("/usr/lib/os-release"))
        .ok()
        .flatten()
        .map_or_else(|| host.read(Path::new(OS_RELEASE)), |text| Ok(Some(text)));
    let text = text.with_context(|| format!("{OS_RELEASE}: read"))?;
    Ok(named(&String::from_utf8_lossy(&text.unwrap_or_default())))
}

fn named(text: &str) -> (String, String) {
    let value = |key: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or("unknown").trim_matches('"').to_owned()
    };
    (value("ID"), value("VERSION_ID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_told_by_its_id_and_version() {
        let text =
            "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n";
        assert_eq!(named(text), ("ubuntu".to_owned(), "24.04".to_owned()));
        assert_eq!(
            named("ID=debian\n"),
            ("debian".to_owned(), "unknown".to_owned())
        );
    }
}

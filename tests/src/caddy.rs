//! A real Caddy on loopback that serves one certificate from two files.
//!
//! Always true: it runs in the foreground as a child of the test, with a pid file, storage and ports of its own, reads
//! its files by the paths it was given, and ends with the handle.
//!
//! Does not: fetch certificates, redirect, or listen anywhere but on 127.0.0.1.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::Daemon;
use crate::{components, ports};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// Which Caddy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.6: SIGUSR1 is not implemented there and says so in its log only.
    V2_6,
    /// 2.11: SIGUSR1 reloads, unless the configuration came through the admin API.
    V2_11,
}

impl Version {
    /// The component's name.
    pub fn component(self) -> &'static str {
        match self {
            Self::V2_6 => "caddy-2.6",
            Self::V2_11 => "caddy-2.11",
        }
    }

    /// The number, as in an image's tag.
    pub fn number(self) -> &'static str {
        match self {
            Self::V2_6 => "2.6",
            Self::V2_11 => "2.11",
        }
    }
}

/// Whether the admin API is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// Not reachable at all.
    Off,
    /// At [`Caddy::admin`].
    On,
}

/// What to serve.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The site's name, and the one for clients that send none.
    pub domain: &'a str,
    /// Chain file, e.g. `certs/fullchain.pem`; absolute.
    pub fullchain: &'a Path,
    /// Key file; absolute.
    pub privkey: &'a Path,
}

/// A running Caddy.
#[derive(Debug)]
pub struct Caddy {
    /// The process.
    pub daemon: Daemon,
    /// Where it serves TLS.
    pub address: SocketAddr,
    /// The admin API's URL, when it is on.
    pub admin: Option<String>,
    home: TempDir,
}

impl Caddy {
    /// Starts it and waits until it listens; `None` after saying `SKIP`.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub fn start(version: Version, admin: Admin, site: Site<'_>) -> Result<Option<Self>> {
        let Some(program) = components::require(version.component()) else {
            return Ok(None);
        };
        let home = tempfile::tempdir().context("Caddy's home")?;
        let address = ports::free_address();
        let admin = match admin {
            Admin::Off => None,
            Admin::On => Some(ports::free_address()),
        };
        let config = home.path().join("Caddyfile");
        fs::write(&config, caddyfile(home.path(), address, admin, site))
            .context("write the Caddyfile")?;
        let mut daemon = Daemon::spawn(
            Command::new(program)
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(&config)
                .arg("--pidfile")
                .arg(home.path().join("caddy.pid"))
                .env("HOME", home.path())
                .env("XDG_DATA_HOME", home.path().join("data"))
                .env("XDG_CONFIG_HOME", home.path().join("config"))
                .current_dir(home.path()),
        )?;
        daemon.wait_listening(address, START_DEADLINE)?;
        Ok(Some(Self {
            daemon,
            address,
            admin: admin.map(|admin| format!("http://{admin}")),
            home,
        }))
    }

    /// Its pid file.
    pub fn pid_file(&self) -> PathBuf {
        self.home.path().join("caddy.pid")
    }

    /// Its configuration file, for `caddy reload --config`.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("Caddyfile")
    }
}

/// The configuration of a site on loopback that answers `ok`.
fn caddyfile(
    home: &Path,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    site: Site<'_>,
) -> String {
    let admin = admin.map_or_else(|| "off".to_owned(), |admin| admin.to_string());
    let Site {
        domain,
        fullchain,
        privkey,
    } = site;
    format!(
        "{{\n\tadmin {admin}\n\tauto_https off\n\tdefault_sni {domain}\n\tstorage file_system {home}\n}}\n\
         https://{domain}:{port} {{\n\tbind {ip}\n\ttls {fullchain} {privkey}\n\trespond \"ok\"\n}}\n",
        home = home.join("storage").display(),
        ip = address.ip(),
        port = address.port(),
        fullchain = fullchain.display(),
        privkey = privkey.display(),
    )
}

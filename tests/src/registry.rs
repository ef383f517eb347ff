//! The real `docker-registry`.
//!
//! Always true: loopback only, a directory of its own, stopped when dropped.
//!
//! Does not: pull or push (an engine does).

mod front;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use self::front::Front;
use crate::process::Daemon;
use crate::{components, ports};

/// The user of a registry that wants one.
pub const USER: &str = "example";
/// Its password.
pub const PASSWORD: &str = "example-password";
/// The password, as the registry keeps it.
const HTPASSWD: &str = "example:$2b$04$qR2vVvM7utC.l3szgH02BOiXWOuH7Pr9DhSaB3Q.ACAG0U6qgbGou\n";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    front: Option<Front>,
    _daemon: Daemon,
    directory: TempDir,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Password,
}

impl Registry {
    /// Starts one; `None` after saying `SKIP`.
    ///
    /// # Panics
    /// When it does not start, or with `CI=true` when it is not there.
    pub fn start(access: Access) -> Option<Self> {
        let program = components::require("docker-registry")?;
        let directory = tempfile::tempdir().unwrap();
        let address = ports::free_address();
        let daemon = launch(&program, directory.path(), address, access);
        Some(Self {
            address,
            front: None,
            _daemon: daemon,
            directory,
        })
    }

    /// One behind a network that can fail: [`Registry::cut_after`].
    ///
    /// # Panics
    /// As [`Registry::start`].
    pub fn behind_a_network(access: Access) -> Option<Self> {
        let mut registry = Self::start(access)?;
        registry.front = Some(Front::before(registry.address));
        Some(registry)
    }

    /// After so many more bytes of answers the registry is gone, in the middle of whatever it says; `None`: it is there again.
    ///
    /// # Panics
    /// Without a network in front.
    pub fn cut_after(&self, bytes: Option<usize>) {
        self.front.as_ref().unwrap().cut_after(bytes);
    }

    /// The file of a blob or manifest.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let blobs = self
            .directory
            .path()
            .join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// `127.0.0.1:port`, as it stands in front of an image's name.
    pub fn host(&self) -> String {
        let front = self.front.as_ref().map(Front::address);
        front.unwrap_or(self.address).to_string()
    }
}

fn launch(program: &Path, directory: &Path, address: SocketAddr, access: Access) -> Daemon {
    let password = directory.join("htpasswd");
    fs::write(&password, HTPASSWD).unwrap();
    let auth = match access {
        Access::Open => String::new(),
        Access::Password => format!(
            "auth:\n  htpasswd:\n    realm: example\n    path: {}\n",
            password.display()
        ),
    };
    let config = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{auth}",
        directory.join("data").display()
    );
    let path = directory.join("config.yml");
    fs::write(&path, config).unwrap();
    let mut daemon = Daemon::spawn(Command::new(program).arg("serve").arg(&path)).unwrap();
    daemon
        .wait_listening(address, Duration::from_secs(20))
        .unwrap();
    daemon
}

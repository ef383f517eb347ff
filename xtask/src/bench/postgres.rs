//! A PostgreSQL of the bench's own: its data beside the server's, a socket of its own, no port.
//!
//! Always true: settings are its defaults, so every commit is durable when it is answered; it runs as an unprivileged user,
//! because it refuses root; it is shut down with its value.
//!
//! Does not: touch a cluster that the machine has.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::{command, components};

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Running; dropping it shuts it down.
pub(super) struct Postgres {
    server: Child,
    home: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `home`, which others may enter, and starts it.
    pub(super) fn start(home: &Path) -> Result<Self> {
        let program =
            components::find("postgres").context("no postgres: cargo xtask components")?;
        let program = fs::canonicalize(&program).context("where postgres is")?;
        let programs = program.parent().context("where postgres is")?;
        let owner = owner()?;
        fs::create_dir_all(home).with_context(|| format!("create {}", home.display()))?;
        if let Some(owner) = &owner {
            chown(home, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
                .with_context(|| format!("give {} to {}", home.display(), owner.name))?;
        }
        let data = home.join("data");
        let run = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(home).env_clear().env("LC_ALL", "C");
            if let Some(owner) = &owner {
                command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
            }
            command
        };
        let mut initdb = run("initdb");
        initdb
            .args([
                "--username=bench",
                "--auth=trust",
                "--encoding=UTF8",
                "--pgdata",
            ])
            .arg(&data);
        command::capture(&mut initdb)?;

        let mut server = run("postgres");
        server
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses="])
            .arg("-k")
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(home)?);
        let server = server
            .spawn()
            .with_context(|| format!("start `{}`", command::line(&server)))?;
        let mut postgres = Self {
            server,
            home: home.to_owned(),
        };
        postgres.wait_until_ready(&programs.join("pg_isready"))?;
        Ok(postgres)
    }

    /// The directory of its socket.
    pub(super) fn socket(&self) -> &Path {
        &self.home
    }

    fn wait_until_ready(&mut self, pg_isready: &Path) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_DEADLINE {
            let mut ask = Command::new(pg_isready);
            ask.arg("--quiet").arg("--host").arg(&self.home);
            if command::capture(&mut ask).is_ok() {
                return Ok(());
            }
            if self.server.try_wait().context("wait")?.is_some() {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        let said = fs::read_to_string(self.home.join("log")).unwrap_or_default();
        bail!("PostgreSQL does not answer: {}", command::tail(&said, 10))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // its "fast shutdown": children end before it does
        let asked = i32::try_from(self.server.id())
            .is_ok_and(|pid| kill(Pid::from_raw(pid), Signal::SIGINT).is_ok());
        let since = Instant::now();
        while asked && since.elapsed() < STOP_DEADLINE {
            match self.server.try_wait() {
                Ok(None) => sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn log(home: &Path) -> Result<fs::File> {
    let path = home.join("log");
    fs::File::create(&path).with_context(|| format!("create {}", path.display()))
}

/// Whom it runs as: this user, or in root's stead the package's own user, else `nobody`.
fn owner() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("look a user up")? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL refuses root, and there is neither a user postgres nor nobody")
}

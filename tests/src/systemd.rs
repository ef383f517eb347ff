//! A host of its own with a real systemd as its first process, in a container without a network.
//!
//! Always true: it has the programs that this run of Cargo built, unless it is to get them in a package; it goes with its handle.
//!
//! Does not: install units (tests write them), or start anything but what its systemd does by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::command;

use crate::components;
use crate::deployment::{Ran, agnes_ops, agnesd, run};
use crate::docker::Docker;

const IMAGE: &str = "agnes-test/systemd:bookworm";
const BOOT_DEADLINE: Duration = Duration::from_secs(90);
/// Where an engine that uses cgroups of the first version has what systemd must see.
const CGROUP: &str = "/sys/fs/cgroup/systemd";

/// A booted host.
#[derive(Debug)]
pub struct Machine {
    docker: &'static Docker,
    container: String,
}

impl Machine {
    /// Boots one; `None` after saying `SKIP`.
    ///
    /// # Errors
    /// The engine's, or systemd's when it does not come up.
    pub fn boot() -> Result<Option<Self>> {
        Self::boot_with(&[])
    }

    /// Boots one that has these block devices of this machine too.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn boot_with(devices: &[&Path]) -> Result<Option<Self>> {
        let mut programs = vec![
            (agnes_ops(), "/usr/bin/agnes-ops"),
            (agnesd(), "/usr/bin/agnesd"),
        ];
        if let Some(engine) = components::linked_engine(&agnesd())? {
            programs.push((engine, "/usr/lib/x86_64-linux-gnu/libduckdb.so"));
        }
        Self::start(devices, &programs)
    }

    /// Boots one without a program of ours.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn boot_bare() -> Result<Option<Self>> {
        Self::start(&[], &[])
    }

    fn start(devices: &[&Path], programs: &[(PathBuf, &str)]) -> Result<Option<Self>> {
        let Some(docker) = Docker::get() else {
            return Ok(None);
        };
        if !image(docker)? {
            return Ok(None);
        }
        let mut run = docker.command(["run", "--detach", "--network", "none"]);
        // systemd mounts what a unit asks for; it is not given the machine's devices
        run.args(["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"])
            .args(["--security-opt", "seccomp=unconfined"])
            .args(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"])
            .args(["--stop-signal", "SIGRTMIN+3", "--env", "container=docker"]);
        for device in devices {
            run.args(["--device", &device.display().to_string()]);
        }
        if Path::new(CGROUP).is_dir() {
            run.args(["--volume", &format!("{CGROUP}:{CGROUP}:rw")]);
        }
        for (from, to) in programs {
            run.args(["--volume", &format!("{}:{to}:ro", from.display())]);
        }
        // on a host, systemd makes its mounts shared, by which a unit's credentials reach the unit; in a container it leaves that out
        let init = "mount --make-rshared / && exec /sbin/init";
        let container = command::capture(run.args([IMAGE, "/bin/sh", "-c", init]))?;
        let machine = Self {
            docker,
            container: container.trim().to_owned(),
        };
        machine.has_booted()?;
        Ok(Some(machine))
    }

    fn has_booted(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let said = self.run(&["systemctl", "is-system-running"]);
            match said.stdout.trim() {
                // some unit of the distribution may not get on without a network or devices
                "running" | "degraded" => return Ok(()),
                _ if begun.elapsed() < BOOT_DEADLINE => {}
                state => bail!("systemd is {state:?}: {}", said.stderr.trim()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a command in it as root.
    pub fn run(&self, argv: &[&str]) -> Ran {
        let mut command = self.docker.command(["exec", &self.container]);
        command.args(argv);
        run(command)
    }

    /// `agnes-ops -C DIR … --json` in it.
    pub fn ops(&self, dir: &str, verb: &[&str]) -> Ran {
        self.run(&[&["agnes-ops", "-C", dir], verb, &["--json"]].concat())
    }

    /// What a file in it says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let ran = self.run(&["cat", path]);
        ensure!(ran.code == 0, "{path}: {}", ran.stderr.trim());
        Ok(ran.stdout)
    }

    /// Writes a file in it, with the directories above.
    ///
    /// # Errors
    /// The engine's.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let (above, _) = path.rsplit_once('/').context("an absolute path")?;
        self.run(&["mkdir", "-p", above]).exits(0);
        let file = tempfile::NamedTempFile::new().context("a file to copy in")?;
        std::fs::write(file.path(), text).context("write it")?;
        self.copy(file.path(), path)
    }

    /// Copies a file into it.
    ///
    /// # Errors
    /// The engine's.
    pub fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let to = format!("{}:{to}", self.container);
        let mut copy: Command = self.docker.command(["cp"]);
        command::capture(copy.arg(from).arg(to))?;
        Ok(())
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let argv = ["systemctl", "show", "--value", "--property", name, unit];
        self.run(&argv).exits(0).stdout.trim().to_owned()
    }

    /// What a unit said.
    pub fn journal(&self, unit: &str) -> String {
        let argv = [
            "journalctl",
            "--no-pager",
            "--output",
            "cat",
            "--unit",
            unit,
        ];
        self.run(&argv).stdout
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let mut remove = self
            .docker
            .command(["rm", "--force", "--volumes", &self.container]);
        let _ = command::capture(&mut remove);
    }
}

fn image(docker: &Docker) -> Result<bool> {
    let Some(tree) = components::require("systemd-image.tar") else {
        return Ok(false);
    };
    let _one = crate::docker::one_image_at_a_time();
    if !docker.has(IMAGE) {
        command::capture(docker.command(["import"]).arg(tree).arg(IMAGE))?;
    }
    Ok(true)
}

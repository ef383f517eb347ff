//! Disks of a file each, as loop devices of this machine.
//!
//! Always true: detached, and whatever is mounted from it unmounted, when dropped.
//!
//! Does not: make a file system (tests do, or what they test).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;
use xtask::command;

/// One disk.
#[derive(Debug)]
pub struct Disk {
    file: NamedTempFile,
    device: PathBuf,
}

impl Disk {
    /// A blank one of so many MiB.
    ///
    /// # Errors
    /// When the machine has no loop devices, or this is not root.
    pub fn blank(mib: u64) -> Result<Self> {
        let file = NamedTempFile::new().context("the disk's file")?;
        file.as_file().set_len(mib << 20).context("its size")?;
        let device = attach(file.path())?;
        Ok(Self { file, device })
    }

    /// One that a command has worked on; the device stands at its end.
    ///
    /// # Errors
    /// As [`Disk::blank`], or the command's.
    pub fn made_by(mib: u64, argv: &[&str]) -> Result<Self> {
        let disk = Self::blank(mib)?;
        disk.run(argv)?;
        Ok(disk)
    }

    /// Runs a command with the device at its end.
    ///
    /// # Errors
    /// The command's.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let (program, arguments) = argv.split_first().context("a command")?;
        command::capture(Command::new(program).args(arguments).arg(&self.device))
    }

    /// `/dev/loopN`.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// What is on it, byte for byte, as a hash.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn hash(&self) -> String {
        let said = command::capture(Command::new("sha256sum").arg(self.file.path()));
        said.unwrap()
    }

    /// Makes it larger.
    ///
    /// # Errors
    /// The machine's.
    pub fn grow_to(&self, mib: u64) -> Result<()> {
        self.file.as_file().set_len(mib << 20).context("its size")?;
        command::capture(
            Command::new("losetup")
                .arg("--set-capacity")
                .arg(&self.device),
        )
        .map(drop)
    }

    /// Mounts it for a moment, and does something there.
    ///
    /// # Errors
    /// The machine's.
    pub fn inside<T>(&self, work: impl FnOnce(&Path) -> T) -> Result<T> {
        let at = tempfile::tempdir().context("a mount point")?;
        command::capture(Command::new("mount").arg(&self.device).arg(at.path()))?;
        let done = work(at.path());
        command::capture(Command::new("umount").arg(at.path()))?;
        Ok(done)
    }

    /// Unmounts it wherever it is.
    pub fn unmount(&self) {
        // as often as it is mounted
        while command::capture(Command::new("umount").arg(&self.device)).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
        let _ = command::capture(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

fn attach(file: &Path) -> Result<PathBuf> {
    let mut attach = Command::new("losetup");
    attach.args(["--find", "--show", "--partscan"]).arg(file);
    Ok(PathBuf::from(command::capture(&mut attach)?.trim()))
}

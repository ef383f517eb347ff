//! Where things are: the checkout and the directory that built programs land in.
//!
//! Always true: answers come from the running process (Cargo's environment, its own path), never from a path that was
//! compiled in, since checkouts share target directories.
//!
//! Does not: create anything.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The workspace's root directory.
///
/// # Errors
/// When neither Cargo nor the current directory leads to a checkout.
pub fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = match package {
        Some(dir) => dir,
        None => env::current_dir().context("current directory")?,
    };
    match start
        .ancestors()
        .find(|dir| dir.join("agnes-config/Cargo.toml").is_file())
    {
        Some(root) => Ok(root.to_path_buf()),
        None => bail!("{}: not inside a checkout of Agnes", start.display()),
    }
}

/// Names a directory with other programs than those of the own profile: a measurement is of a release, whoever makes it.
pub const PROGRAMS_VARIABLE: &str = "AGNES_PROGRAMS";

/// The directory with the programs of the profile that this one was built with, or [`PROGRAMS_VARIABLE`]'s.
///
/// # Errors
/// When the own path cannot be read.
pub fn programs() -> Result<PathBuf> {
    if let Some(dir) = env::var_os(PROGRAMS_VARIABLE) {
        return Ok(PathBuf::from(dir));
    }
    let own = env::current_exe().context("own path")?;
    let parent = own
        .parent()
        .map(Path::to_path_buf)
        .context("own path has no parent")?;
    // Test binaries live one level deeper, in deps/.
    match parent.file_name() {
        Some(name) if name == "deps" => parent
            .parent()
            .map(Path::to_path_buf)
            .context("deps/ has no parent"),
        _ => Ok(parent),
    }
}

/// Where this run's own program was built, without the profile.
///
/// # Errors
/// As [`programs`].
pub fn target_directory() -> Result<PathBuf> {
    let own = programs()?;
    let above = own.parent().context("the programs' directory")?;
    Ok(above.to_owned())
}

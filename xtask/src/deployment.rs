//! `up` and `down`: the checkout's own deployment in `./.agnes`, on the embedded default.
//!
//! Always true: an `.env` that is there is left as it is; the exit code is that of `agnes-ops`.
//!
//! Does not: look at ports or processes; `agnes-ops` does, and says so.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{checkout, command, database_engine};

/// A deployment of one process on loopback, proven at its own TLS listener.
const ENV: &str = "\
# The checkout's own deployment: one agnesd on this machine, made by `cargo xtask up`. Paths are relative to this file.
AGNES_RUNTIME=process
DOMAIN=localhost
DATA_DIR=data
AGNES_LISTEN=127.0.0.1:8000
AGNES_TLS_LISTEN=127.0.0.1:8443
TLS_SERVED_ADDRESS=127.0.0.1:8443
";

/// Builds both programs and brings the deployment up.
///
/// # Errors
/// When they do not build or `.agnes` cannot be made.
pub fn up() -> Result<ExitCode> {
    let root = checkout::root()?;
    build(&root)?;
    let dir = root.join(".agnes");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let env = dir.join(".env");
    if !env
        .try_exists()
        .with_context(|| format!("look for {}", env.display()))?
    {
        let unfinished = dir.join(".env.unfinished");
        fs::write(&unfinished, ENV).with_context(|| format!("write {}", unfinished.display()))?;
        fs::rename(&unfinished, &env).with_context(|| format!("publish {}", env.display()))?;
    }
    operate(&root, "up")
}

/// Brings the deployment down; its files stay.
///
/// # Errors
/// When the programs do not build.
pub fn down() -> Result<ExitCode> {
    let root = checkout::root()?;
    if !root.join(".agnes").is_dir() {
        println!(
            "nothing to stop: {} was never made (cargo xtask up)",
            root.join(".agnes").display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    build(&root)?;
    operate(&root, "down")
}

/// Always both: with one of them alone Cargo would resolve other features and build the dependencies again.
pub(crate) fn build(root: &Path) -> Result<()> {
    command::run(
        database_engine::cargo("build")
            .args(["--locked", "--package", "agnes-ops", "--package", "agnesd"])
            .current_dir(root),
    )
}

fn operate(root: &Path, verb: &str) -> Result<ExitCode> {
    let mut command = Command::new(checkout::programs()?.join("agnes-ops"));
    command.args(["-C", ".agnes", verb]).current_dir(root);
    let status = command
        .status()
        .with_context(|| format!("start `{}`", command::line(&command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

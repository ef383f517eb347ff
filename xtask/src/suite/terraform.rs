//! Terraform's own checks of `terraform/`: format everywhere, and the tests of the modules that need no provider.
//!
//! Always true: offline; nothing is left in the checkout.
//!
//! Does not: validate Google's resources: that needs their provider (terraform/README.md says what is not covered).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Said;
use crate::command;

/// The modules without a provider.
const OFFLINE: [&str; 2] = ["startup-script", "exposure"];

pub(super) fn check(root: &Path) -> Result<Said> {
    let Some(program) = command::system_program("terraform") else {
        return Ok(Said::skip(
            "terraform",
            "modules and examples",
            "not installed, and no package registry has it",
        ));
    };
    let terraform = |dir: &Path, data: &Path| {
        let mut command = Command::new(&program);
        command
            .current_dir(dir)
            .env("TF_DATA_DIR", data)
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env_remove("TF_CLI_CONFIG_FILE");
        command
    };
    let data = tempfile::tempdir().context("a directory for Terraform's own data")?;
    let all = root.join("terraform");
    command::run(terraform(&all, data.path()).args(["fmt", "-check", "-diff", "-recursive"]))?;
    for module in OFFLINE {
        let dir = all.join("modules").join(module);
        let data = data.path().join(module);
        command::run(terraform(&dir, &data).args(["init", "-input=false", "-no-color"]))?;
        command::run(terraform(&dir, &data).args(["validate", "-no-color"]))?;
        command::run(terraform(&dir, &data).args(["test", "-no-color"]))?;
    }
    Ok(Said::default())
}

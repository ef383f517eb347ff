//! `cargo xtask soak`: the test matrices whole, and the figures they print.
//!
//! Always true: a test that fails or is skipped fails the soak, and then nothing is written; figures come from lines
//! `FIGURE <name> <value> <unit and note>` of the tests themselves.
//!
//! Does not: install components (`cargo xtask components` does), or run what has no matrix.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::scenes::{self, Figure};
use crate::{checkout, command, database_engine, figures, fuzz};

/// The targets of `fuzz/`, an hour each.
const FUZZ: &str = "fuzz";

/// Modules of the e2e tests with a matrix that an ordinary run samples, and [`FUZZ`].
const MODULES: [&str; 16] = [
    "load",
    "crash",
    "churn",
    "corpus",
    "damage",
    "disk",
    "dotenv",
    "engine",
    "faults",
    "flood",
    FUZZ,
    "migration",
    "openapi",
    "rotation",
    "storm",
    "transfer",
];

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run these modules alone [all of them]
    #[arg(value_name = "MODULE", value_parser = MODULES)]
    modules: Vec<String>,
}

/// Runs the matrices and writes docs/figures.md, a section a module.
///
/// # Errors
/// When a test fails, is skipped, or a module has none.
pub fn command(options: &Options) -> Result<ExitCode> {
    let root = checkout::root()?;
    build(&root)?;
    let all = MODULES.map(str::to_owned).to_vec();
    let modules = if options.modules.is_empty() {
        &all
    } else {
        &options.modules
    };
    let mut failed = Vec::new();
    for module in modules {
        match run(&root, module) {
            Ok(figures) if figures.is_empty() => println!("soak {module}: no figures"),
            Ok(figures) => write(&root, module, &figures)?,
            Err(error) => {
                println!("soak {module}: {error:#}");
                failed.push(module.as_str());
            }
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// `cargo test --test e2e` builds the tests, but not the programs that they run.
fn build(root: &Path) -> Result<()> {
    let mut build = database_engine::cargo("build");
    build.args(["--locked", "--workspace"]).current_dir(root);
    command::run(&mut build)
}

/// Runs one module whole, its output passed through.
fn run(root: &Path, module: &str) -> Result<Vec<Figure>> {
    if module == FUZZ {
        return fuzz::soak(root);
    }
    let mut tests = database_engine::cargo("test");
    tests
        .args(["--locked", "--workspace", "--test", "e2e", "--"])
        .args([&format!("{module}::"), "--nocapture", "--test-threads=1"])
        .env("AGNES_SOAK", "1")
        .current_dir(root);
    scenes::run(tests)
}

fn write(root: &Path, module: &str, figures: &[Figure]) -> Result<()> {
    let mut table = "| figure | value | |\n|---|---:|---|\n".to_owned();
    for Figure { name, value, note } in figures {
        table.push_str(&format!("| {name} | {value} | {note} |\n"));
    }
    let (verb, title) = (
        format!("soak {module}"),
        format!("Matrix `{module}`, whole"),
    );
    figures::write(root, &verb, &title, &table)
}

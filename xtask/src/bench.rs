//! `cargo xtask bench`: what the product costs, beside what it replaces.
//!
//! Always true: release builds; both sides of a ratio are measured alternately in the same run; a target that is missed is
//! printed and is no failure, a figure that cannot be had is one.
//!
//! Does not: keep a history (docs/figures.md holds the last one that was written).

mod download;
mod http;
mod load;
mod measure;
mod plain_http;
mod postgres;
mod server;
mod site;
mod tls;
mod upgrade;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{checkout, command, database_engine};

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// An unchanged `tls rotate` beside a shell script, the time from swap to proof, start-up and size
    Tls {
        /// Write the table into docs/figures.md
        #[arg(long)]
        write: bool,
        /// How often each side of a comparison runs
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// The served API beside a bare axum and PostgreSQL 15: reads, durable writes, memory, start
    Http {
        /// Write the table into docs/figures.md
        #[arg(long)]
        write: bool,
        /// How often each side of a comparison runs
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long each of these runs takes
        #[arg(long, default_value_t = 8)]
        secs: u64,
        /// Where the deployment with many users is kept, and taken from the next time; it takes minutes to fill one
        #[arg(long, value_name = "DIR")]
        filled: Option<PathBuf>,
    },
    /// Files that agnesd sends, beside Caddy's `file_server` on the same file
    Download {
        /// Write the table into docs/figures.md
        #[arg(long)]
        write: bool,
        /// How often each side runs
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// The file's size
        #[arg(long, value_name = "MIB", default_value_t = 1024)]
        size: u64,
        /// Measure this program, built for release before, in place of one that is built now
        #[arg(long, value_name = "PROGRAM")]
        agnesd: Option<PathBuf>,
    },
    /// An upgrade's unchanged tick beside a script, held writes, the way back; a snapshot of 1 GB beside cp, and its drill
    Upgrade {
        /// Write the table into docs/figures.md
        #[arg(long)]
        write: bool,
    },
    /// Run one program and print its wall time, CPU time (µs) and peak memory (KiB)
    #[command(hide = true)]
    Measure {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<OsString>,
    },
}

/// `cargo xtask bench`.
///
/// # Errors
/// When something could not be measured.
pub fn command(what: &What) -> Result<ExitCode> {
    match what {
        What::Http {
            write,
            rounds,
            secs,
            filled,
        } => http::run(*write, (*rounds).max(1), (*secs).max(1), filled.as_deref()),
        What::Download {
            write,
            rounds,
            size,
            agnesd,
        } => download::run(*write, (*rounds).max(1), (*size).max(1), agnesd.as_deref()),
        What::Measure { argv } => measure::measure(argv),
        What::Upgrade { write } => upgrade::run(*write),
        What::Tls { write, rounds } => tls::run(*write, (*rounds).max(1)),
    }
}

/// Builds both programs as they are shipped, and says where they are.
fn release(root: &Path) -> Result<PathBuf> {
    let mut build = database_engine::cargo("build");
    build
        .args(["--release", "--locked", "--workspace"])
        .current_dir(root);
    command::run(&mut build)?;
    release_directory()
}

/// Where Cargo puts release builds.
fn release_directory() -> Result<PathBuf> {
    let own = checkout::programs()?;
    let target = own.parent().context("no target directory")?;
    Ok(target.join("release"))
}

/// One line of the table.
struct Row {
    measure: &'static str,
    figure: String,
    target: &'static str,
    met: bool,
}

/// The least, the middle and the most of some figures.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: u64,
    median: u64,
    most: u64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = figures.collect();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        Self {
            least: at(0),
            median: at(sorted.len() / 2),
            most: at(sorted.len().saturating_sub(1)),
        }
    }

    /// Of microseconds, as milliseconds: median (best).
    fn millis(&self) -> String {
        let millis = |us: u64| us as f64 / 1000.0;
        format!("{:.1} ms ({:.1})", millis(self.median), millis(self.least))
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// As Markdown.
fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let verdict = if row.met { "met" } else { "**missed**" };
        format!(
            "| {} | {} | {} | {verdict} |\n",
            row.measure, row.figure, row.target
        )
    });
    std::iter::once("| measure | figure | target | |\n|---|---|---|---|\n".to_owned())
        .chain(lines)
        .collect()
}

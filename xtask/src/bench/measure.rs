//! What one run of a program costs: wall time, CPU time and peak memory, its children included.
//!
//! Always true: each run is the only child of a process made for it, so that the kernel's sum over a process's children is
//! that run's alone; a run that fails is an error, not a figure.
//!
//! Does not: repeat or judge.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::command;

/// The cost of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// From start to end, microseconds.
    pub(super) wall_us: u64,
    /// User and system time of the program and its children, microseconds.
    pub(super) cpu_us: u64,
    /// Largest resident set of any one process among them, KiB; never below that of the process that starts it.
    pub(super) rss_kib: u64,
}

/// Runs `program` by way of this program's own `bench measure`, in a clean environment.
///
/// # Errors
/// When the run fails.
pub(super) fn sample(program: &Path, arguments: &[OsString], path: &str) -> Result<Sample> {
    let own = std::env::current_exe().context("own path")?;
    let mut run = Command::new(own);
    run.args(["bench", "measure", "--"])
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path);
    let said = command::capture(&mut run)?;
    let figures: Vec<u64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[wall_us, cpu_us, rss_kib] = figures.as_slice() else {
        anyhow::bail!("`{}` said {said:?}", command::line(&run));
    };
    Ok(Sample {
        wall_us,
        cpu_us,
        rss_kib,
    })
}

/// `cargo xtask bench measure`: one run, its three figures on stdout.
///
/// # Errors
/// When it does not start or does not exit 0.
pub(super) fn measure(argv: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = argv.split_first().context("no program")?;
    let mut run = Command::new(program);
    run.args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let started = Instant::now();
    let status = run
        .status()
        .with_context(|| format!("start `{}`", command::line(&run)))?;
    let wall = started.elapsed();
    ensure!(status.success(), "`{}`: {status}", command::line(&run));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!("{} {cpu_us} {}", wall.as_micros(), usage.max_rss());
    Ok(ExitCode::SUCCESS)
}

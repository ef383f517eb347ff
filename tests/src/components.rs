//! The real programs that tests need, and what happens when one is not there.
//!
//! Always true: a test that cannot run says so by the component's name (`SKIP <component>: <test>: <why>` on stderr, past the
//! test runner's capture, so that `cargo xtask test` counts it); with `CI=true` it fails instead.
//!
//! Does not: install anything (`cargo xtask components` does).

use std::io::Write;
use std::path::PathBuf;

/// The component's file; `None` after saying `SKIP`: the test returns.
///
/// # Panics
/// With `CI=true` when the component is not there.
pub fn require(name: &str) -> Option<PathBuf> {
    let found = xtask::components::find(name);
    if found.is_none() {
        skip(name, "not installed: cargo xtask components");
    }
    found
}

/// Says that the running test is skipped for want of `component`.
///
/// # Panics
/// With `CI=true`.
pub fn skip(component: &str, why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        !xtask::components::ci(),
        "SKIP {component}: {test}: {why}, and with CI=true a skip is a failure"
    );
    // Not eprintln!, which the test runner captures.
    let line = format!("SKIP {component}: {test}: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("write to stderr");
}

/// A program of this workspace, built by the same run of Cargo: `agnes-ops`, `agnesd`.
///
/// # Panics
/// When it was not built: `cargo test -p agnes-e2e` alone does not build other packages' programs.
pub fn program(name: &str) -> PathBuf {
    let path = xtask::checkout::programs().expect("own path").join(name);
    assert!(
        path.is_file(),
        "{} is not built: cargo build -p {name}",
        path.display()
    );
    path
}

/// The seed of this run's samples: `AGNES_TEST_SEED`, else 0; `cargo xtask test` sets and prints it.
pub fn seed() -> u64 {
    std::env::var("AGNES_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0)
}

/// Whether a matrix runs whole and not as a sample: `AGNES_SOAK`, which `cargo xtask soak` sets.
pub fn is_soak() -> bool {
    std::env::var_os("AGNES_SOAK").is_some()
}

/// The engine's shared library that a program was linked with; `None` when it was compiled in.
///
/// # Errors
/// When the program cannot be looked at.
pub fn linked_engine(program: &std::path::Path) -> anyhow::Result<Option<PathBuf>> {
    let listed = xtask::command::says(std::process::Command::new("ldd").arg(program))?;
    let found = listed
        .lines()
        .find(|line| line.trim_start().starts_with("libduckdb.so"))
        .and_then(|line| line.split_once(" => ")?.1.split_whitespace().next());
    Ok(found.map(PathBuf::from))
}

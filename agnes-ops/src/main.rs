//! `agnes-ops`, the operator of an Agnes host.

// what is shipped is linted without `test`
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests write and read files, start processes and read the clock themselves"
    )
)]

mod adopt;
mod alerts;
mod audit;
mod boot;
mod cli;
mod compose;
mod config;
mod database;
mod deployment;
mod directories;
mod disk;
mod doctor;
mod download;
mod engine;
mod env_file;
mod fetch;
mod host;
mod host_record;
mod image;
mod incident;
mod journal;
mod outcome;
mod progress;
mod render;
mod report;
mod run;
mod secrets;
mod served;
mod sha256;
mod signal;
mod snapshot;
mod stack;
mod state_file;
mod status;
mod systemd;
mod tls;
mod units;
mod up;
mod upgrade;
mod vitals;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    harden();
    let environment = environment();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match cli::Cli::try_parse_from(&arguments) {
        Ok(cli) => ExitCode::from(run::run(&cli, &environment)),
        Err(error) => {
            let as_json = arguments.iter().any(|argument| argument == "--json");
            ExitCode::from(run::not_understood(&error, as_json))
        }
    }
}

/// A private key is in this process's memory: no core dump, no debugger of another user.
fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
    // what others have to read is made with its mode; a stricter mask of whoever started us must not take it away
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// The one place that reads the process's environment.
fn environment() -> run::Environment {
    run::Environment {
        variables: std::env::vars_os().collect(),
        program: std::env::current_exe().ok(),
    }
}

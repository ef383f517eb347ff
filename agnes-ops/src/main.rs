//! `agnes-ops`, the operator of an Agnes host.

mod cli;
mod compose;
mod config;
mod download;
mod fetch;
mod host;
mod journal;
mod outcome;
mod run;
mod served;
mod status;
mod tls;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    harden();
    let environment = environment();
    let cli = cli::Cli::parse();
    ExitCode::from(run::run(&cli, &environment))
}

/// A private key is in this process's memory: no core dump, no debugger of another user.
fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
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

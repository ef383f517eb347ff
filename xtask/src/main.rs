//! The one door for people and CI.
//!
//! Always true: an exit code of a program that runs for the user is passed on as it is.
//!
//! Does not: contain the work (see the modules of the library).

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::suite::Step;

/// Everything that is done to this checkout: start it, test it, keep its papers straight.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the real programs that the tests run against, and see each of them work
    Components {
        /// Bring this one alone and print its path: DUCKDB_LIB_DIR=$(cargo xtask components --print duckdb)
        #[arg(long, value_name = "NAME")]
        print: Option<String>,
    },
    /// Build, make ./.agnes and bring its deployment up: https://localhost:8443
    Up,
    /// Stop what `up` started; files stay
    Down,
    /// Measure speed and size, beside what is replaced
    #[command(subcommand)]
    Bench(xtask::bench::What),
    /// Run the test matrices whole, and write their figures into docs/figures.md
    Soak(xtask::soak::Options),
    /// Attack a running agnesd of your own: injection, tampered tokens, limits, malformed requests
    Pentest(xtask::pentest::Options),
    /// Attack every parser of outside bytes with made-up ones, led by coverage
    Fuzz(xtask::fuzz::Options),
    /// What a release is called
    #[command(subcommand)]
    Release(xtask::release::What),
    /// Make the Debian package of agnes-ops
    Package(xtask::package::Options),
    /// Hold every import against the table in docs/architecture.md
    Layers,
    /// Write the generated documents: docs/configuration.md, .env.example, the READMEs of Terraform's modules, docs/openapi.json, docs/access.md
    Docs {
        /// Write nothing; exit 1 when one is stale (the server's tests compare the last two)
        #[arg(long)]
        check: bool,
    },
    /// Run every check: components, lints, rules, docs, build and all tests
    Test {
        /// Run this step alone
        #[arg(long, value_name = "STEP")]
        only: Option<Step>,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().verb {
        Verb::Components { print } => xtask::components::command(print.as_deref()),
        Verb::Up => xtask::deployment::up(),
        Verb::Down => xtask::deployment::down(),
        Verb::Bench(what) => xtask::bench::command(&what),
        Verb::Release(what) => xtask::release::command(&what),
        Verb::Package(options) => xtask::package::command(&options),
        Verb::Soak(options) => xtask::soak::command(&options),
        Verb::Docs { check } => xtask::docs::command(check),
        Verb::Test { only } => xtask::suite::command(only),
        Verb::Pentest(options) => xtask::pentest::command(&options),
        Verb::Fuzz(options) => xtask::fuzz::command(&options),
        Verb::Layers => xtask::layers::command(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

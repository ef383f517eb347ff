//! The database engine that everything of this checkout is linked with: the prebuilt one, or one that Cargo compiles.
//!
//! Always true: every `cargo` that builds the server comes from [`cargo`], so that one run never builds it twice, once a
//! way; a `DUCKDB_LIB_DIR` of the caller's wins; that no prebuilt engine can be had is no failure and is said.
//!
//! Does not: bring any component but that one, or build anything.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::components;

/// Where a build looks for the engine; its directory is also what the programs' dynamic linker is told.
const VARIABLE: &str = "DUCKDB_LIB_DIR";

/// The component, a directory with the shared library in it.
const COMPONENT: &str = "duckdb";

/// How the engine gets into the programs.
#[derive(Debug, PartialEq, Eq)]
enum Engine {
    /// The shared library in this directory is linked.
    Prebuilt(PathBuf),
    /// Cargo compiles it.
    Bundled,
}

/// `cargo <verb>` with the engine decided; what is built and how comes after it.
pub fn cargo(verb: &str) -> Command {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb);
    ENGINE.get_or_init(decide).apply(&mut command);
    command
}

impl Engine {
    fn apply(&self, command: &mut Command) {
        match self {
            Self::Prebuilt(directory) => command.env(VARIABLE, directory),
            Self::Bundled => command
                .env_remove(VARIABLE)
                .args(["--features", "agnesd/bundled"]),
        };
    }
}

fn decide() -> Engine {
    if let Some(directory) = env::var_os(VARIABLE).filter(|directory| !directory.is_empty()) {
        return Engine::Prebuilt(directory.into());
    }
    match components::bring(COMPONENT) {
        Ok(directory) => Engine::Prebuilt(directory),
        Err(why) => {
            eprintln!(
                "database engine: no prebuilt one ({why:#}); Cargo compiles it, which takes about 40 minutes on two cores \
                 the first time. {VARIABLE}=<directory of libduckdb.so> links another"
            );
            Engine::Bundled
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_there_is_linked_and_otherwise_cargo_is_asked_to_compile_it() {
        let mut linked = Command::new("cargo");
        Engine::Prebuilt("/opt/engine".into()).apply(&mut linked);
        let variable = linked.get_envs().next();
        assert_eq!(
            variable,
            Some((VARIABLE.as_ref(), Some("/opt/engine".as_ref())))
        );
        assert_eq!(linked.get_args().count(), 0);

        let mut compiled = Command::new("cargo");
        Engine::Bundled.apply(&mut compiled);
        assert_eq!(
            compiled.get_args().collect::<Vec<_>>(),
            ["--features", "agnesd/bundled"]
        );
    }
}

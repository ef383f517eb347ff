//! `agnesd`, the server: parse, load, serve, exit.
//!
//! Always true: the environment is read once, here; settings are valid before anything is bound; every way out is an exit
//! code of `--help`.
//!
//! Does not: hold logic of its own.

mod app;
mod audit_verify;
mod auth;
mod cli;
mod client_address;
mod connection;
mod control;
mod db;
mod error;
mod events;
mod files;
mod guard;
mod health;
mod jobs;
mod limits;
mod mail;
mod metrics;
mod middleware;
mod oidc;
mod page;
mod process;
mod reload;
mod request;
mod router;
mod routes;
mod scheduler;
mod serve;
mod shares;
mod sign_in;
mod sign_in_link;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;

use app::Deployment;
use clap::Parser;
use serve::Failed;

/// The settings are invalid (`EX_CONFIG`).
pub(crate) const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let verb = cli.verb.unwrap_or(cli::Verb::Serve);
    if let Err(why) = process::harden() {
        return fail(&Failed::new(format!("{why}; nothing was started")));
    }
    #[cfg(debug_assertions)]
    process::of_a_later_version();
    if let cli::Verb::Db(db) = &verb {
        if let Some(exit) = db::child(db) {
            return exit;
        }
        if db::file(db).is_some() {
            return db::run(db, None);
        }
    }
    if let cli::Verb::Print { document } = &verb {
        let text = router::printed(*document);
        return match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if let cli::Verb::Audit(audit) = &verb
        && let cli::AuditVerb::Verify { file: Some(_), .. } = &audit.verb
    {
        return audit_verify::run(audit, None);
    }
    let env: Vec<_> = std::env::vars_os().collect();
    let from_env = || {
        env.iter()
            .find(|(key, value)| key == "AGNES_DIR" && !value.is_empty())
            .map(|(_, v)| v.into())
    };
    let dir = cli
        .dir
        .or_else(from_env)
        .unwrap_or_else(|| PathBuf::from("/opt/agnes"));

    let loaded = agnes_config::load::load(&dir, env.iter().cloned(), &[]);
    // a health check runs every few seconds and is not asked about what only a start looks at
    let health = matches!(verb, cli::Verb::Health);
    let server_problems = loaded.server_problems.iter().filter(|_| !health);
    for problem in loaded.problems.iter().chain(server_problems) {
        eprintln!("agnesd: serve: {problem}");
    }
    let Some(settings) = loaded
        .settings
        .filter(|_| health || loaded.server_problems.is_empty())
    else {
        eprintln!("hint: correct what is listed above; nothing was started");
        return ExitCode::from(EXIT_CONFIG);
    };
    if health {
        return health::run(settings.server.listen);
    }
    if let Err(why) = process::log_to_stderr(&settings.log_level, &env) {
        eprintln!("agnesd: serve: {why}; nothing was started");
        return ExitCode::from(EXIT_CONFIG);
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let cli::Verb::Db(db) = &verb {
        return db::run(db, Some(&settings.state_dir));
    }
    if let cli::Verb::Audit(audit) = &verb {
        return audit_verify::run(audit, Some(&settings.state_dir));
    }
    if let cli::Verb::SignInLink { email } = &verb {
        return sign_in_link::run(email, &settings);
    }
    let deployment = Deployment { dir, env };
    match serve::run(settings, deployment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => fail(&failed),
    }
}

fn fail(failed: &Failed) -> ExitCode {
    eprintln!("agnesd: serve: {}", failed.what);
    if let Some(hint) = &failed.hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(failed.exit)
}

//! One run: settings → lock → command → record → print.
//!
//! Always true: a command that changes the host holds the deployment's lock while it does and leaves a status record
//! whatever came of it; stdout gets exactly one thing; the exit code is the report's.
//!
//! Does not: know what a command does.

mod adopt;
mod asked;
mod boot;
mod commands;
mod doctor;
mod environment;
mod fetching;
mod incident;
mod lock;
mod print;
mod record;
mod rendered;
mod report;
mod secrets;
mod shipped;
mod snapshot;
mod status;
mod units;
mod upgrade;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::{Loaded, load};
use serde_json::Value;

use self::commands::Mode;
use self::fetching::{fetch_options, google};
use self::lock::{lock, parent_holds};
use self::print::print;
use self::record::{last_record, record};
use crate::adopt::Whose;
use crate::alerts::Outbox;
use crate::cli::{self, Cli, Command};
use crate::deployment::Deployment;
use crate::fetch::Fetcher;
use crate::host::{Checkpoints, Host, Lock};
use crate::outcome::{Exit, Refusal, Report, one_line};
use crate::status::Colour;
use crate::{config, disk, download, stack, tls, up, watch};

/// How often `secrets rotate --wait` looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The deployment's directory when nobody names another.
const DIR: &str = "/opt/agnes";

/// The record of `render compose`.
const RENDERED: &str = "render-compose";

pub use self::environment::Environment;
pub use self::print::not_understood;

/// Runs the command and returns the exit code.
pub fn run(cli: &Cli, environment: &Environment) -> u8 {
    let host = Host::new(checkpoints(environment));
    let started = host.instant();
    let dir = directory(cli, environment);
    let mut loaded = settings(&dir, environment);
    log_to_stderr(environment, &loaded);
    for warning in loaded.warnings.iter().chain(&loaded.server_problems) {
        tracing::warn!("{}", one_line(&warning.to_string()));
    }
    // held until the record is written, so that the next run's record is never covered up by this one's
    let mut lock = None;
    let prepared = match &cli.command {
        Command::Boot(args) => {
            let wait = cli.global.lock_wait;
            let mut prepared = boot::prepare(args, environment, &host, &dir, wait, &mut lock);
            let as_if = prepared
                .as_mut()
                .ok()
                .and_then(|prepared| prepared.loaded.take());
            loaded = as_if.unwrap_or_else(|| settings(&dir, environment));
            prepared
        }
        _ => Ok(boot::Prepared::default()),
    };
    boot::rebase(&mut loaded, cli.command.root());
    let report = match prepared {
        Ok(prepared) => dispatch(cli, environment, &host, &dir, &loaded, &prepared, &mut lock),
        Err(report) => *report,
    };
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let name = cli.command.name();
    let mut report = report;
    if let Command::Boot(cli::Boot { dry_run: false, .. }) = &cli.command {
        boot::publish(environment, &mut report);
    }
    if cli.command.changes()
        // settings that cannot be acted on leave the host untouched, the record included
        && report.exit != Exit::Config
        && let Some(settings) = &loaded.settings
        && let Err(error) = record(&host, settings, cli.command.root(), name, &report, took_ms)
    {
        tracing::error!("status record: {error:#}");
        if report.exit == Exit::Ok {
            report.exit = Exit::Failed;
            report.refusal = Some(Refusal::new(
                "not-recorded",
                format!("done, but not recorded: {error:#}"),
            ));
        }
    }
    drop(lock);
    print(&cli.command, cli.global.json, &report, took_ms)
}

/// The deployment's settings. What a service manager hands to the server in place of `.env` is not what is worked on here.
fn settings(dir: &Path, environment: &Environment) -> Loaded {
    load(dir, own_variables(environment), &[])
}

fn own_variables(environment: &Environment) -> impl Iterator<Item = (OsString, OsString)> {
    let variables = environment.variables.iter();
    variables
        .filter(|(name, _)| name != "AGNES_ENV_FILE")
        .cloned()
}

fn dispatch(
    cli: &Cli,
    environment: &Environment,
    host: &Host,
    dir: &Path,
    loaded: &Loaded,
    prepared: &boot::Prepared,
    held: &mut Option<Lock>,
) -> Report {
    let named = cli.global.dir.is_some() || environment.get("AGNES_DIR").is_some();
    if cli.command.is_of_a_deployment(named) && !dir.is_dir() {
        return no_directory(dir);
    }
    // verbs that work on any host, also one whose settings are broken
    let early = match &cli.command {
        Command::Config(cli::Config::Show) => Some(Ok(config::show(loaded))),
        Command::Config(cli::Config::Check) => Some(Ok(config::check(loaded))),
        Command::Tls(cli::Tls::Inspect {
            target,
            server_name,
        }) => Some(tls::inspect(host, target, server_name.as_deref())),
        Command::Render(verb) => rendered::without_deployment(host, verb),
        Command::Completions { shell } => Some(Ok(shipped::completions(*shell))),
        Command::Man { output } => Some(shipped::man(host, output)),
        Command::Report(args) => Some(report::run(args, environment, host, dir, loaded)),
        Command::Doctor(_) if loaded.settings.is_none() => {
            Some(Ok(crate::doctor::refused(loaded, dir)))
        }
        Command::Alert { unit } => {
            let settings = loaded.settings.as_ref();
            let named = dir.display().to_string();
            let outbox = Outbox {
                deployment: settings
                    .map_or(named.as_str(), |settings| settings.tls.domain.as_str()),
                dir,
                // what is written now would be on the boot disk, and hidden once the data disk is back (B02)
                state_dir: settings
                    .filter(|settings| {
                        !matches!(disk::look(host, settings), disk::State::NotProven(_))
                    })
                    .map(|settings| settings.state_dir.as_path()),
            };
            Some(watch::alert(host, &outbox, unit))
        }
        _ => None,
    };
    if let Some(result) = early {
        return result.unwrap_or_else(|error| failed(&cli.command, &error));
    }
    let Some(settings) = &loaded.settings else {
        return config::refusal(loaded);
    };
    let name = cli.command.name();
    if cli.command.changes()
        && !cli.command.needs_no_disk()
        && let disk::State::NotProven(why) = disk::look(host, settings)
    {
        // what is written now would be on the boot disk, and hidden once the data disk is back (B02)
        let refusal = Refusal::new("state-disk", format!("{why}; nothing was touched"));
        return Report::refused(
            Exit::Failed,
            refusal.hint("agnes-ops boot mounts it, or says why not"),
        );
    }
    if cli.command.root().is_some()
        && cli.command.changes()
        && let Err(error) = host.make_dir(dir)
    {
        return failed(&cli.command, &error.into());
    }
    if cli.command.changes() && held.is_none() {
        match lock(host, dir, name, cli.global.lock_wait) {
            Ok(lock) => *held = Some(lock),
            Err(_) if cli.command.is_of_parent() && parent_holds(host, dir) => {}
            Err(refused) => return *refused,
        }
    }
    let fetcher = Fetcher::new(fetch_options(settings, environment));
    let deployment = Deployment {
        host,
        settings,
        fetcher: &fetcher,
    };
    let run = || {
        command(cli, environment, deployment, loaded, prepared)
            .unwrap_or_else(|error| failed(&cli.command, &error))
    };
    let mut report = run();
    if matches!(
        &cli.command,
        Command::Secrets(cli::Secrets::Rotate {
            wait: true,
            dry_run: false,
            ..
        })
    ) {
        while let Some(pause) = waits(&report) {
            // no lock is held while nothing happens
            *held = None;
            host.sleep(pause);
            report = match lock(host, dir, name, cli.global.lock_wait) {
                Ok(lock) => {
                    *held = Some(lock);
                    run()
                }
                Err(_) => report,
            };
        }
    }
    report
}

/// How long to wait before a rotation is gone on with; `None`: it is not waiting.
fn waits(report: &Report) -> Option<Duration> {
    let going_on = matches!(report.exit, Exit::Ok | Exit::Deferred);
    let waiting = report.details.get("phase").and_then(Value::as_str) == Some("waiting");
    (going_on && waiting).then_some(LOOK_AGAIN)
}

fn no_directory(dir: &Path) -> Report {
    let message = format!(
        "{}: there is no such directory; nothing was touched",
        dir.display()
    );
    let hint = "name the deployment's directory with -C or AGNES_DIR";
    Report::refused(
        Exit::Config,
        Refusal::new("no-directory", message).hint(hint),
    )
}

fn command(
    cli: &Cli,
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
    prepared: &boot::Prepared,
) -> anyhow::Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let last_rotation = last_record(host, settings, "tls-rotate");
    let memory = last_rotation
        .as_ref()
        .and_then(|record| record.get("memory"));
    match &cli.command {
        Command::Up { dry_run } => {
            let program = server_program(environment);
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            let options = up::Options {
                dry_run: *dry_run,
                secrets: crate::secrets::EnsureOptions {
                    dry_run: *dry_run,
                    lookup: &lookup,
                    // failed fetches are counted by `secrets ensure`
                    memory: None,
                },
                rotation: memory,
            };
            let mut report = up::up(deployment, &program, &options)?;
            if !dry_run && report.refusal.is_none() {
                let diagnosis = doctor::quick(environment, deployment, loaded);
                let screen = crate::status::status(deployment, &diagnosis, Colour::Off)?;
                report.text = screen.text;
                report
                    .details
                    .insert("next".into(), screen.details.get("next").cloned().into());
            }
            Ok(report)
        }
        Command::Down { dry_run } => up::down(host, settings, *dry_run),
        Command::Status(args) => {
            self::status::run(args, cli.global.json, environment, deployment, loaded)
        }
        Command::Secrets(verb) => self::secrets::run(verb, environment, deployment),
        Command::Snapshot(verb) => snapshot::run(verb, environment, deployment),
        Command::Upgrade(args) => upgrade::run(args, environment, deployment, loaded),
        Command::Render(cli::Render::StartupScript { .. } | cli::Render::Env { .. }) => {
            anyhow::bail!("{} was answered before", cli.command.name())
        }
        Command::Render(cli::Render::Units { .. }) => rendered::units(settings),
        Command::Render(cli::Render::Compose { dry_run, .. }) => {
            Ok(render_compose(environment, deployment, loaded, *dry_run))
        }
        Command::Units(verb) => units::run(verb, environment, deployment),
        Command::Doctor(args) => Ok(doctor::run(args, environment, deployment, loaded)),
        Command::Boot(args) => boot::run(args, environment, deployment, loaded, prepared),
        Command::Adopt { give_back, dry_run } => {
            let whose = match give_back {
                true => Whose::Theirs,
                false => Whose::Ours,
            };
            adopt::run(environment, deployment, whose, Mode::of(*dry_run))
        }
        Command::Watch => doctor::with_patient(environment, deployment, loaded, |patient| {
            watch::watch(deployment, patient)
        }),
        Command::Incident(verb) => incident::run(verb, environment, deployment),
        Command::Audit(args) => Ok(incident::audit(args, deployment)),
        Command::Fetch(fetch) => download::download(deployment, fetch),
        Command::Tls(cli::Tls::Rotate {
            dry_run,
            allow_older,
        }) => {
            let options = tls::RotateOptions {
                dry_run: *dry_run,
                allow_older: *allow_older,
                ..tls::RotateOptions::default()
            };
            tls::rotate(deployment, options, memory)
        }
        Command::Tls(cli::Tls::Check) => tls::check(deployment, memory),
        Command::Tls(cli::Tls::Csr {
            print,
            new_key,
            dry_run,
        }) => tls::csr(
            deployment,
            tls::CsrOptions {
                print: *print,
                new_key: *new_key,
                dry_run: *dry_run,
            },
        ),
        Command::Tls(cli::Tls::Reload { dry_run }) => tls::reload(deployment, *dry_run, memory),
        Command::Config(_)
        | Command::Alert { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Report(_)
        | Command::Tls(cli::Tls::Inspect { .. }) => {
            anyhow::bail!("{} was answered before", cli.command.name())
        }
    }
}

fn render_compose(
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
    dry_run: bool,
) -> Report {
    let Deployment { host, settings, .. } = deployment;
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let last = last_record(host, settings, RENDERED);
    let options = stack::Options {
        dry_run,
        lookup: &lookup,
        memory: last.as_ref().and_then(|record| record.get("memory")),
        values: &loaded.values,
    };
    stack::render(host, settings, &options)
}

fn failed(command: &Command, error: &anyhow::Error) -> Report {
    let why = format!("{error:#}");
    // a watch keeps what it finds, one after the other
    let changes = command.changes() || matches!(command, Command::Watch);
    let left = match (changes, why.contains("nothing was")) {
        (_, true) => "",
        (false, _) => "; nothing was touched",
        // each of them begins with what another run left open, or finds it as it is
        (true, _) => "; what was done by then stays, and the next run finishes or undoes it",
    };
    Report::refused(
        Exit::Failed,
        Refusal::new("host-error", format!("{why}{left}")),
    )
}

fn directory(cli: &Cli, environment: &Environment) -> PathBuf {
    let dir = match (&cli.global.dir, cli.command.root()) {
        (Some(named), _) => named.clone(),
        (None, root) => {
            let usual = environment.get("AGNES_DIR").unwrap_or(DIR);
            let usual = std::path::absolute(usual).unwrap_or_else(|_| usual.into());
            // a variable of this host says nothing of a tree
            match root.filter(|root| !usual.starts_with(root)) {
                Some(root) => boot::below(root, &usual),
                None => usual,
            }
        }
    };
    std::path::absolute(&dir).unwrap_or(dir)
}

/// The server beside this program, else the one on the PATH.
fn server_program(environment: &Environment) -> PathBuf {
    let beside = environment
        .program
        .as_ref()
        .and_then(|program| program.parent())
        .map(|dir| dir.join("agnesd"));
    beside
        .filter(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from("agnesd"))
}

fn checkpoints(environment: &Environment) -> Checkpoints {
    if cfg!(debug_assertions) {
        let stop_at = environment
            .get("AGNES_STOP_AT")
            .and_then(|number| number.parse().ok());
        Checkpoints::new(
            stop_at,
            environment.get("AGNES_CHECKPOINTS").map(PathBuf::from),
        )
    } else {
        Checkpoints::default()
    }
}

fn log_to_stderr(environment: &Environment, loaded: &Loaded) {
    let level = loaded
        .settings
        .as_ref()
        .map_or("info", |settings| settings.log_level.as_str());
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // journald stamps its lines itself
    let _ = if environment.get("JOURNAL_STREAM").is_some() {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_stands_in_the_help() {
        use clap::CommandFactory as _;
        let help = Cli::command().render_long_help().to_string();
        for exit in [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::Drift,
            Exit::Deferred,
            Exit::Config,
            Exit::Degraded,
        ] {
            let code = exit.code().to_string();
            assert!(
                help.lines()
                    .any(|line| line.split_whitespace().next() == Some(code.as_str())),
                "exit code {code} ({exit:?}) is not in --help"
            );
        }
    }
}

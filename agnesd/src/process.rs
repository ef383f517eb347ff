//! What this process is to its host: nothing of it lands in a core dump, nobody else reads what it makes, it may hold enough sockets, its log fits where it goes.
//!
//! Always true: [`harden`] runs before any file is read, so no key byte is ever in a dumpable process.
//!
//! Does not: fork, change user, or write log files: who starts `agnesd` decides these.

use std::ffi::OsString;
use std::io::IsTerminal;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sockets of both listeners at their caps, files and a margin.
const WANTED_FILES: u64 = 4096;

/// No core dump, not dumpable (T17), files for their owner alone unless something else is said of one, and as many open files as the hard limit lets us have, up to 4096.
///
/// # Errors
/// One line when the kernel refuses to turn core dumps off: a key in a core file is worse than a server that did not start.
pub(crate) fn harden() -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|e| format!("turn core dumps off: {}", e.desc()))?;
    prctl::set_dumpable(false)
        .map_err(|e| format!("make the process not dumpable: {}", e.desc()))?;
    // the engine makes the database and its log with whatever the caller's umask leaves
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < WANTED_FILES
    {
        // fewer files only means that connections wait in the kernel's queue: no reason to refuse
        let _ = setrlimit(Resource::RLIMIT_NOFILE, WANTED_FILES.min(hard), hard);
    }
    Ok(())
}

/// With `AGNES_FURTHER_MIGRATION` this program is one of a later version, whose schema has that SQL besides: so tests of upgrades
/// have a version that migrates. Release builds do not contain it.
#[cfg(debug_assertions)]
pub(crate) fn of_a_later_version() {
    let sql = std::env::vars_os().find(|(name, _)| name == "AGNES_FURTHER_MIGRATION");
    if let Some(sql) = sql.and_then(|(_, sql)| sql.into_string().ok()) {
        agnes_store::know_further(sql);
    }
}

/// Logs to stderr from here on, at `level` (`LOG_LEVEL`); journald brings its own timestamps.
///
/// # Errors
/// One line when `level` is not a filter.
pub(crate) fn log_to_stderr(level: &str, env: &[(OsString, OsString)]) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|e| format!("LOG_LEVEL: {e}"))?;
    let journal = env.iter().any(|(key, _)| key == "JOURNAL_STREAM");
    let colours = !journal
        && std::io::stderr().is_terminal()
        && !env.iter().any(|(key, _)| key == "NO_COLOR");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let set = if journal {
        log.without_time().finish().with(quiet()).try_init()
    } else {
        log.finish().with(quiet()).try_init()
    };
    set.map_err(|e| format!("start the log: {e}"))
}

/// Below info the HTTP libraries log frames and quote malformed requests, tokens and all: no `LOG_LEVEL` turns that on.
fn quiet() -> FilterFn {
    filter_fn(|event| {
        *event.level() <= Level::INFO
            || !["h2", "hyper"]
                .iter()
                .any(|lib| event.target().starts_with(lib))
    })
}

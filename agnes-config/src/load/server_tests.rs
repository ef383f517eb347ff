//! What `agnesd` reads, black box through `load`: each key by each way it can be written.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::settings::*;

const JWT: &str = "q7Zt0mVxw3Rk9LsYb2Nc8HdJf5GpA1Ue";
const OTHER: &str = "Xe4Tn6Wq1Bz8Kd3Mh7Rv2Cy9Lp5Fj0Gs";

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
    dir
}

fn load_files(files: &[(&str, &str)]) -> Loaded {
    load(dir(files).path(), [], &[])
}

fn env(text: &str) -> Loaded {
    load_files(&[(".env", text)])
}

fn toml(text: &str) -> Loaded {
    load_files(&[("agnes.toml", text)])
}

fn process(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let own = |(name, value): &(&str, &str)| (name.into(), value.into());
    pairs.iter().map(own).collect()
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The settings of what must be in order.
#[track_caller]
fn sound(loaded: Loaded) -> Settings {
    assert_eq!(lines(&loaded.problems), Vec::<String>::new());
    assert_eq!(lines(&loaded.server_problems), Vec::<String>::new());
    assert_eq!(lines(&loaded.warnings), Vec::<String>::new());
    loaded.settings.unwrap()
}

/// One line, which begins with `start` and has `part` in it.
#[track_caller]
fn one(found: &[Problem], start: &str, part: &str) {
    let found = lines(found);
    let fits = |line: &String| line.starts_with(start) && line.contains(part);
    assert!(
        found.len() == 1 && found.iter().all(fits),
        "{start} {part}: {found:?}"
    );
}

fn text(secret: Option<&crate::Secret>) -> &str {
    secret.map_or("<none>", crate::Secret::expose)
}

#[test]
fn nothing_at_all_is_the_defaults() {
    let settings = sound(env(""));
    let server = settings.server;
    let metrics = "127.0.0.1:9464".parse().unwrap();
    assert_eq!(server.metrics, MetricsListen::Default(metrics));
    assert_eq!((server.max_body, server.max_upload), (1 << 20, 4 << 30));
    assert!(server.trusted_proxies.is_empty() && server.allowed_private_nets.is_empty());
    assert!(server.allowed_origins.is_empty());
    assert_eq!((server.image_digest, server.seed_admin_email), (None, None));
    assert_eq!(settings.limits.unauthenticated_per_min, 100);
    assert_eq!(settings.limits.authenticated_per_min, 600);
    assert_eq!(settings.audit.keep_days, 90);
    let store = Store {
        memory_limit: 512 << 20,
        threads: 1,
        checkpoint_every: Duration::from_secs(300),
    };
    assert_eq!(settings.store, store);
    assert!(settings.jobs.is_empty());
    let secrets = settings.secrets;
    assert!(secrets.jwt.current.is_none() && secrets.scheduler.previous.is_none());
    assert!(secrets.bootstrap.is_none());
}

#[test]
fn figures_have_bounds() {
    let text = "[server]\nmax_body = \"2MiB\"\nmax_upload = \"1TiB\"\n[limits]\nunauthenticated_per_min = 7\nauthenticated_per_min = \"8\"\n\
        [audit]\nkeep_days = 1\n[store]\nmemory_limit = \"1TiB\"\nthreads = 4\ncheckpoint_every = \"1s\"\n";
    let settings = sound(toml(text));
    assert_eq!(settings.server.max_body, 2 << 20);
    assert_eq!(settings.server.max_upload, 1 << 40);
    assert_eq!(
        (
            settings.limits.unauthenticated_per_min,
            settings.limits.authenticated_per_min
        ),
        (7, 8)
    );
    assert_eq!(settings.audit.keep_days, 1);
    assert_eq!(
        (settings.store.memory_limit, settings.store.threads),
        (1 << 40, 4)
    );
    assert_eq!(settings.store.checkpoint_every, Duration::from_secs(1));
    assert_eq!(
        sound(toml("[store]\nmemory_limit = \"2GiB\"\n"))
            .store
            .memory_limit,
        2 << 30
    );
    for (table, line, part) in [
        ("server", "max_body = \"1GiB\"", "unknown unit"),
        ("server", "max_body = \"0B\"", "zero"),
        ("server", "max_upload = \"0B\"", "zero"),
        ("server", "max_upload = \"2TiB\"", "more than 1TiB"),
        (
            "limits",
            "unauthenticated_per_min = -1",
            "is no whole number",
        ),
        (
            "limits",
            "authenticated_per_min = 4294967296",
            "is more than",
        ),
        (
            "limits",
            "authenticated_per_min = 1.5",
            "of type float (expected a whole number)",
        ),
        ("audit", "keep_days = 0", "is less than 1"),
        ("audit", "keep_days = 36501", "is more than"),
        ("store", "memory_limit = \"63MiB\"", "less than 64MiB"),
        ("store", "memory_limit = \"2TiB\"", "more than 1TiB"),
        (
            "store",
            "memory_limit = \"99999999999TiB\"",
            "more than 1TiB",
        ),
        ("store", "memory_limit = 512", "is of type integer"),
        ("store", "threads = 0", "is less than 1"),
        (
            "store",
            "checkpoint_every = \"999ms\"",
            "less than a second",
        ),
        ("store", "checkpoint_every = \"25h\"", "longer than a day"),
    ] {
        let (key, _) = line.split_once(' ').unwrap();
        let found = toml(&format!("[{table}]\n{line}\n"));
        one(
            &found.problems,
            &format!("agnes.toml:2: {table}.{key}: "),
            part,
        );
    }
    let found = env("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN=5\nAGNES_LIMIT_AUTHENTICATED_PER_MIN=0\n");
    one(
        &found.warnings,
        ".env:2: AGNES_LIMIT_AUTHENTICATED_PER_MIN: ",
        "no limit",
    );
    assert_eq!(found.settings.unwrap().limits.unauthenticated_per_min, 5);
}

mod edge;
mod jobs;
mod secrets;

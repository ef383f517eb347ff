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
    assert_eq!(server.max_body, 1 << 20);
    assert!(server.trusted_proxies.is_empty() && server.allowed_private_nets.is_empty());
    assert!(server.allowed_origins.is_empty());
    assert_eq!((server.image_digest, server.seed_admin_email), (None, None));
    assert_eq!(settings.limits.unauthenticated_per_min, 100);
    assert_eq!(settings.limits.authenticated_per_min, 600);
    assert_eq!(settings.audit.keep_days, 90);
    let store = Store {
        memory_limit: 512 << 20,
        threads: 2,
        checkpoint_every: Duration::from_secs(300),
    };
    assert_eq!(settings.store, store);
    assert!(settings.jobs.is_empty());
    let secrets = settings.secrets;
    assert!(secrets.jwt.current.is_none() && secrets.scheduler.previous.is_none());
    assert!(secrets.bootstrap.is_none());
}

#[test]
fn metrics_are_off_when_the_value_is_empty_in_any_layer() {
    let off = |loaded: Loaded| assert_eq!(sound(loaded).server.metrics, MetricsListen::Off);
    off(env("METRICS_ADDR=\n"));
    off(env("METRICS_ADDR=\"\"\n"));
    off(env("METRICS_ADDR=off\n"));
    off(toml("[server]\nmetrics_addr = \"\"\n"));
    off(toml("[server]\nmetrics_addr = \"off\"\n"));
    let dir = dir(&[(".env", "METRICS_ADDR=127.0.0.1:1\n")]);
    let loaded = load(dir.path(), process(&[("METRICS_ADDR", "")]), &[]);
    let shown = loaded
        .values
        .iter()
        .find(|v| v.key == "METRICS_ADDR")
        .unwrap();
    assert_eq!(
        (shown.value.as_str(), &shown.source),
        ("off", &Source::Environment)
    );
    off(loaded);
    let layered = [
        ("agnes.toml", "[server]\nmetrics_addr = \"\"\n"),
        (".env", "METRICS_ADDR=[::1]:9000\n"),
    ];
    let at = MetricsListen::At("[::1]:9000".parse().unwrap());
    assert_eq!(sound(load_files(&layered)).server.metrics, at);
    one(
        &env("METRICS_ADDR=9464\n").problems,
        ".env:1: METRICS_ADDR: ",
        "or off)",
    );
}

#[test]
fn metrics_take_nobody_elses_port() {
    let found = env("AGNES_LISTEN=127.0.0.1:9000\nMETRICS_ADDR=0.0.0.0:9000\n");
    one(
        &found.problems,
        ".env:2: METRICS_ADDR: ",
        "the same port as AGNES_LISTEN",
    );
    let found = env("METRICS_ADDR=127.0.0.1:9000\nAGNES_TLS_LISTEN=0.0.0.0:9000\n");
    one(
        &found.problems,
        ".env:1: METRICS_ADDR: ",
        "the same port as AGNES_TLS_LISTEN",
    );
    let found = env("AGNES_LISTEN=127.0.0.1:9464\n");
    one(
        &found.warnings,
        ".env:1: METRICS_ADDR: ",
        "is not set, and 127.0.0.1:9464, its default",
    );
    assert!(found.settings.is_some());
    sound(env("AGNES_LISTEN=127.0.0.1:0\nMETRICS_ADDR=127.0.0.1:0\n"));
}

#[test]
fn networks_are_lists_of_cidrs_and_addresses() {
    let nets = |loaded| {
        let nets = sound(loaded).server.trusted_proxies;
        nets.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (given, expected) in [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.0.0.1,10.0.0.1/32", "10.0.0.1/32"),
        (
            "\"192.0.2.0/24  2001:db8::1,\"",
            "192.0.2.0/24 2001:db8::1/128",
        ),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ] {
        assert_eq!(nets(env(&format!("TRUSTED_PROXIES={given}\n"))), expected);
    }
    let list = toml("[server]\ntrusted_proxies = [\"127.0.0.1\", \"fd00::/8\"]\n");
    assert_eq!(nets(list), "127.0.0.1/32 fd00::/8");
    let private = sound(env("ALLOWED_PRIVATE_NETS=10.20.0.0/16\n")).server;
    assert_eq!(private.allowed_private_nets.len(), 1);
    assert!(private.trusted_proxies.is_empty());
    for wrong in [
        "10.0.0.0/33",
        "10.0.0",
        "proxy.example.com",
        "10.0.0.1:80",
        "*",
    ] {
        let found = env(&format!("TRUSTED_PROXIES={wrong}\n"));
        one(
            &found.problems,
            ".env:1: TRUSTED_PROXIES: ",
            "is no network",
        );
    }
    for (key, part) in [
        ("TRUSTED_PROXIES", "any caller can claim any address"),
        ("ALLOWED_PRIVATE_NETS", "stops nothing"),
    ] {
        for whole in ["0.0.0.0/0", "::/0"] {
            let found = env(&format!("{key}=127.0.0.1,{whole}\n"));
            one(&found.warnings, &format!(".env:1: {key}: "), part);
        }
    }
}

#[test]
fn origins_are_exact() {
    let given = "ALLOWED_ORIGINS=\"HTTPS://App.Example.com:443, http://localhost:3000 https://app.example.com https://[::1]:8443\"\n";
    assert_eq!(
        sound(env(given)).server.allowed_origins,
        [
            "https://app.example.com",
            "http://localhost:3000",
            "https://[::1]:8443"
        ]
    );
    for (wrong, part) in [
        ("*", "is a wildcard"),
        ("https://*.example.com", "is a wildcard"),
        ("app.example.com", "has no scheme"),
        ("null", "has no scheme"),
        ("https://app.example.com/", "has a path"),
        ("https://app.example.com/x", "has a path"),
        ("'https://app.example.com#x'", "has a path"),
        ("https://app.example.com?x", "has a path"),
        ("ftp://app.example.com", "neither https nor http"),
        ("https://u:hunter2@app.example.com", "has a user"),
        ("https://", "is no origin"),
        ("https://app.example.com:99999", "is no origin"),
    ] {
        let found = env(&format!("ALLOWED_ORIGINS={wrong}\n"));
        one(&found.problems, ".env:1: ALLOWED_ORIGINS: ", part);
        assert!(!found.problems[0].message.contains("hunter2"));
    }
}

#[test]
fn addresses_of_people_and_digests_of_images_are_checked() {
    for address in ["admin@example.com", "First.Last+agnes@Sub.Example.com"] {
        let settings = sound(env(&format!("SEED_ADMIN_EMAIL={address}\n")));
        assert_eq!(settings.server.seed_admin_email.as_deref(), Some(address));
    }
    let long = format!("{}@example.com", "x".repeat(65));
    for wrong in [
        "admin",
        "@example.com",
        "a@",
        "a b@example.com",
        "a..b@example.com",
        "a@*.example.com",
        "a@example.com.",
        "a@127.0.0.1",
        "a@b@example.com",
        &long,
    ] {
        let found = env(&format!("SEED_ADMIN_EMAIL='{wrong}'\n"));
        one(
            &found.problems,
            ".env:1: SEED_ADMIN_EMAIL: ",
            "is no e-mail address",
        );
    }
    let found = env("SEED_ADMIN_EMAIL=Scheduler@system.local\n");
    one(
        &found.problems,
        ".env:1: SEED_ADMIN_EMAIL: ",
        "the scheduler's own",
    );

    let digest = format!("sha256:{}", "0A".repeat(32));
    let settings = sound(env(&format!("AGNES_IMAGE_DIGEST={digest}\n")));
    assert_eq!(settings.server.image_digest, Some(digest.to_lowercase()));
    for wrong in [
        "stable",
        "sha256:",
        "0a",
        &digest[..70],
        &format!("{digest}0"),
    ] {
        let found = env(&format!("AGNES_IMAGE_DIGEST={wrong}\n"));
        one(
            &found.problems,
            ".env:1: AGNES_IMAGE_DIGEST: ",
            "is no digest",
        );
    }
}

#[test]
fn figures_have_bounds() {
    let text = "[server]\nmax_body = \"2MiB\"\n[limits]\nunauthenticated_per_min = 7\nauthenticated_per_min = \"8\"\n\
        [audit]\nkeep_days = 1\n[store]\nmemory_limit = \"1TiB\"\nthreads = 4\ncheckpoint_every = \"1s\"\n";
    let settings = sound(toml(text));
    assert_eq!(settings.server.max_body, 2 << 20);
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

#[test]
fn a03_both_keys_of_a_pair_are_there() {
    let settings = sound(env(&format!(
        "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={OTHER}\n"
    )));
    let jwt = &settings.secrets.jwt;
    assert_eq!(
        (text(jwt.current.as_ref()), text(jwt.previous.as_ref())),
        (JWT, OTHER)
    );
    let dir = dir(&[
        (
            ".env",
            &format!("SESSION_SECRET={JWT}\nSESSION_SECRET_FILE=s\n"),
        ),
        ("s", &format!("{OTHER}\n")),
    ]);
    let session = sound(load(dir.path(), process(&[("SESSION_SECRET", JWT)]), &[]))
        .secrets
        .session;
    assert_eq!(text(session.current.as_ref()), OTHER);
    let found = env(&format!("JWT_SECRET_KEY_PREVIOUS={OTHER}\n"));
    one(
        &found.warnings,
        ".env:1: JWT_SECRET_KEY_PREVIOUS: ",
        "JWT_SECRET_KEY is not",
    );
}

#[test]
fn a_retired_key_stays_retired_when_its_file_is_gone_or_empty() {
    let with = |content: Option<&str>| {
        let dir = dir(&[(
            ".env",
            &format!(
                "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={OTHER}\nJWT_SECRET_KEY_PREVIOUS_FILE=previous\n"
            ),
        )]);
        if let Some(content) = content {
            let mut file = fs::File::create(dir.path().join("previous")).unwrap();
            std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        }
        sound(load(dir.path(), [], &[])).secrets.jwt
    };
    assert!(with(None).previous.is_none());
    assert!(with(Some("")).previous.is_none());
    assert!(with(Some("\n")).previous.is_none());
    assert_eq!(
        text(with(Some(&JWT.to_lowercase())).previous.as_ref()),
        JWT.to_lowercase()
    );
    // absent is not unreadable
    let broken = dir(&[(
        ".env",
        "JWT_SECRET_KEY_PREVIOUS_FILE=previous\nSESSION_SECRET_FILE=none\n",
    )]);
    symlink("nowhere", broken.path().join("previous")).unwrap();
    let found = lines(&load(broken.path(), [], &[]).server_problems);
    assert_eq!(
        found,
        [
            ".env:1: JWT_SECRET_KEY_PREVIOUS_FILE: the file \"previous\" is a symbolic link to a file that does not exist",
            ".env:2: SESSION_SECRET_FILE: the file \"none\" does not exist",
        ]
    );
}

#[test]
fn a_key_that_can_be_guessed_stops_the_server_and_nobody_else() {
    let padded = |unit: &str| unit.chars().cycle().take(40).collect::<String>();
    for (weak, part) in [
        (
            "short".to_owned(),
            "has 5 characters (expected at least 32)",
        ),
        ("x".repeat(31), "has 31 characters"),
        ("ü".repeat(31), "has 31 characters"),
        ("x".repeat(64), "one character"),
        (padded("changeme"), "placeholder"),
        (padded("Change-Me!"), "placeholder"),
        (padded("secret"), "placeholder"),
        (padded("super-secret-key "), "placeholder"),
        (
            "your-secret-key-goes-here-0123456789".to_owned(),
            "placeholder",
        ),
        (
            "please-change-this-before-production".to_owned(),
            "placeholder",
        ),
        (
            "insecure-development-key-0123456789ab".to_owned(),
            "placeholder",
        ),
        (
            "example-key-0123456789abcdefghijklmnop".to_owned(),
            "placeholder",
        ),
        (
            "<a-random-text-of-32-characters-or-more>".to_owned(),
            "placeholder",
        ),
    ] {
        for key in ["JWT_SECRET_KEY", "SESSION_SECRET"] {
            let loaded = env(&format!("{key}='{weak}'\n"));
            one(&loaded.server_problems, &format!(".env:1: {key}: "), part);
            assert!(!loaded.server_problems[0].message.contains(&weak));
            assert!(loaded.problems.is_empty() && loaded.settings.is_some());
            let shown = loaded.values.iter().find(|value| value.key == key).unwrap();
            assert!(shown.problem.is_some());
            assert_eq!(loaded.into_server_settings().unwrap_err().0.len(), 1);
        }
        let loaded = env(&format!(
            "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS='{weak}'\n"
        ));
        one(
            &loaded.server_problems,
            ".env:2: JWT_SECRET_KEY_PREVIOUS: ",
            part,
        );
    }
    for strong in [
        JWT,
        "0123456789abcdef0123456789abcdef",
        "correct horse battery staple secret",
        "test-jwt-secret-key-0123456789-0123456789",
    ] {
        assert!(
            sound(env(&format!("JWT_SECRET_KEY='{strong}'\n")))
                .secrets
                .jwt
                .current
                .is_some()
        );
    }
}

#[test]
fn a01_a_short_scheduler_token_opens_nothing() {
    for key in ["SCHEDULER_API_TOKEN", "SCHEDULER_API_TOKEN_PREVIOUS"] {
        let base = if key == "SCHEDULER_API_TOKEN" {
            String::new()
        } else {
            format!("SCHEDULER_API_TOKEN={OTHER}\n")
        };
        let line = base.lines().count() + 1;
        let loaded = env(&format!("{base}{key}={}\n", &JWT[1..]));
        one(
            &loaded.warnings,
            &format!(".env:{line}: {key}: "),
            "has 31 characters (expected at least 32), so it opens nothing",
        );
        assert!(loaded.server_problems.is_empty());
        let scheduler = loaded.settings.unwrap().secrets.scheduler;
        assert_eq!(scheduler.current.is_some(), !base.is_empty());
        assert!(scheduler.previous.is_none());
        let scheduler = sound(env(&format!("{base}{key}={JWT}\n")))
            .secrets
            .scheduler;
        let held = if base.is_empty() {
            scheduler.current
        } else {
            scheduler.previous
        };
        assert_eq!(text(held.as_ref()), JWT);
    }
    let loaded = env("AGNES_BOOTSTRAP_TOKEN=0123456789abcde\n");
    one(
        &loaded.server_problems,
        ".env:1: AGNES_BOOTSTRAP_TOKEN: ",
        "at least 16",
    );
    let settings = sound(env("AGNES_BOOTSTRAP_TOKEN=0123456789abcdef\n"));
    assert_eq!(
        text(settings.secrets.bootstrap.as_ref()),
        "0123456789abcdef"
    );
}

#[test]
fn one_value_in_two_places_is_a_warning() {
    let found = env(&format!(
        "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={JWT}\n"
    ));
    one(
        &found.warnings,
        ".env:2: JWT_SECRET_KEY_PREVIOUS: ",
        "nothing was rotated",
    );
    let found = env(&format!(
        "SCHEDULER_API_TOKEN={JWT}\nJWT_SECRET_KEY={JWT}\n"
    ));
    one(
        &found.warnings,
        ".env:1: SCHEDULER_API_TOKEN: ",
        "is the same as JWT_SECRET_KEY (expected a secret of its own)",
    );
    assert!(found.server_problems.is_empty());
}

mod jobs;

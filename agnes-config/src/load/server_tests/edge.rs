//! Who may come from where: metrics, networks, origins, addresses of people, digests.

use super::*;

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

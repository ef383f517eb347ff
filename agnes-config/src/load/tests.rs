//! Real directories, real files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::settings::*;

/// A deployment's directory with these files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    dir
}

fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

fn load_files(files: &[(&str, &str)]) -> Loaded {
    load(dir(files).path(), [], &[])
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    lines(&load_files(files).problems)
}

fn value<'a>(loaded: &'a Loaded, key: &str) -> &'a Value {
    loaded.values.iter().find(|v| v.key == key).unwrap()
}

#[test]
fn nothing_at_all_is_the_defaults() {
    let dir = dir(&[]);
    let loaded = load(dir.path(), [], &[]);
    assert_eq!(lines(&loaded.problems), Vec::<String>::new());
    let settings = loaded.settings.unwrap();
    assert_eq!(settings.dir, dir.path());
    assert_eq!(settings.runtime, Runtime::Compose);
    assert_eq!(settings.state_dir, Path::new("/data/state"));
    assert_eq!(settings.tls.domain.as_str(), "localhost");
    assert_eq!(
        settings.tls.csr_subject,
        [("CN".to_owned(), "localhost".to_owned())]
    );
    assert_eq!(
        settings.tls.served_address,
        ServedAddress::At("127.0.0.1:443".to_owned())
    );
    assert_eq!(settings.tls.key_type, None);
    assert_eq!(settings.fetch.timeout, Duration::from_secs(25));
    assert_eq!(settings.fetch.max_bytes, 1 << 20);
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.tls.reload.len(), 2);
}

#[test]
fn ten_likely_mistakes_are_all_listed_in_one_go() {
    let found = problems(&[
        (
            ".env",
            "DOMAIN=https://agnes.example.com\nTLS_FULLCHAIN_URL=http://user:hunter2@ca.example.com/chain?sig=hunter2\nTLS_KEY_TYPE=rsa-1024\n\nTLS_SERVED_ADDRESS=agnes.example.com\nTLS_CSR_SUBJECT=/C=USA/O=/X=1\nTLS_FILE_OWNER=caddy:caddy\nAGNES_RUNTIME=docker\nLOG_LEVEL=verbose\nFOO=\"never closed\n",
        ),
        (
            "agnes.toml",
            "config_version = 2\n[tls]\nfulchain_url = \"x\"\n[[tls.reload]]\nkind = \"signal\"\nsignal = \"SIGKILL\"\n[fetch]\ntimeout = 25\n",
        ),
    ]);
    let expected = [
        r#".env:1: DOMAIN: "https://agnes.example.com" is a URL, not a name (expected a DNS name such as agnes.example.com)"#,
        r#".env:2: TLS_FULLCHAIN_URL: http:// is not fetched; use https://, sm://, gs:// or file://"#,
        r#".env:3: TLS_KEY_TYPE: "rsa-1024" is no key type (expected rsa-2048, rsa-3072, rsa-4096, ecdsa-p256 or ecdsa-p384)"#,
        r#".env:5: TLS_SERVED_ADDRESS: "agnes.example.com" is no host and port (expected host:port such as 127.0.0.1:443 or [::1]:443, or none)"#,
        r#".env:6: TLS_CSR_SUBJECT: C="USA" is not a country of two capital letters (expected /C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com; / and \ in a value as \/ and \\)"#,
        r#".env:7: TLS_FILE_OWNER: "caddy:caddy" is no owner (expected numbers, uid:gid such as 1000:1000)"#,
        r#".env:8: AGNES_RUNTIME: "docker" is no runtime (expected compose or process)"#,
        r#".env:9: LOG_LEVEL: "verbose" is no log level (expected error, warn, info, debug, trace or off, or a list such as info,agnes_ops=debug)"#,
        r#".env:10: FOO: the value's quote " is never closed"#,
        r#"agnes.toml:1: config_version: version 2 is not known to this program (expected 1)"#,
        r#"agnes.toml:3: tls.fulchain_url: is no setting; did you mean tls.fullchain_url?"#,
        r#"agnes.toml:6: tls.reload[0].signal: "SIGKILL" is no signal for a reload (expected SIGUSR1, SIGUSR2 or SIGHUP)"#,
        r#"agnes.toml:8: fetch.timeout: is of type integer (expected a string: a whole number and a unit such as 500ms, 25s, 2m or 1h)"#,
    ];
    assert_eq!(found, expected);
}

#[test]
fn layers_go_from_default_to_flag() {
    let layers: &[(&str, &str)] = &[
        ("agnes.toml", "[tls]\ndomain = \"toml.example.com\"\n"),
        ("agnes.toml.d/10-a.toml", "domain = \"ten.example.com\"\n"),
        (
            "agnes.toml.d/20-b.toml",
            "[tls]\ndomain = \"twenty.example.com\"",
        ),
        (".env", "\nDOMAIN=env.example.com\n"),
    ];
    let expected = [
        ("toml.example.com", "agnes.toml:2"),
        ("ten.example.com", "agnes.toml.d/10-a.toml:1"),
        ("twenty.example.com", "agnes.toml.d/20-b.toml:2"),
        ("env.example.com", ".env:2"),
    ];
    for (count, (domain, source)) in (1..).zip(expected) {
        let loaded = load_files(&layers[..count]);
        let shown = value(&loaded, "DOMAIN");
        assert_eq!(
            (shown.value.as_str(), shown.source.to_string().as_str()),
            (domain, source)
        );
        assert_eq!(loaded.settings.unwrap().tls.domain.as_str(), domain);
    }
    let dir = dir(layers);
    let process = env(&[("DOMAIN", "process.example.com")]);
    let loaded = load(dir.path(), process.clone(), &[]);
    assert_eq!(value(&loaded, "DOMAIN").source, Source::Environment);
    let loaded = load(
        dir.path(),
        process,
        &[("DOMAIN", "flag.example.com".to_owned())],
    );
    assert_eq!(value(&loaded, "DOMAIN").source, Source::Flag);
    assert_eq!(
        loaded.settings.unwrap().tls.domain.as_str(),
        "flag.example.com"
    );
}

#[test]
fn an_empty_value_is_not_set_in_every_layer() {
    let dir = dir(&[
        (
            "agnes.toml",
            "domain = \"toml.example.com\"\nlog_level = \"\"\n",
        ),
        (".env", "DOMAIN=\nTLS_FULLCHAIN_URL=\nLOG_LEVEL=''\n"),
    ]);
    let loaded = load(
        dir.path(),
        env(&[("DOMAIN", "")]),
        &[("DOMAIN", String::new())],
    );
    assert_eq!(lines(&loaded.problems), Vec::<String>::new());
    assert_eq!(value(&loaded, "DOMAIN").source.to_string(), "agnes.toml:1");
    assert_eq!(value(&loaded, "LOG_LEVEL").source, Source::Default);
    assert_eq!(loaded.settings.unwrap().tls.fullchain_url, None);
}

#[test]
fn b08_only_absent_may_default() {
    for name in [".env", "agnes.toml"] {
        let dir = dir(&[]);
        fs::create_dir(dir.path().join(name)).unwrap();
        let loaded = load(dir.path(), [], &[]);
        assert_eq!(
            lines(&loaded.problems),
            [format!("{name}: is a directory (expected a file)")]
        );
        assert!(loaded.settings.is_none());
    }
    for name in [
        ".env",
        "agnes.toml",
        "agnes.toml.d",
        "agnes.toml.d/10-x.toml",
    ] {
        let dir = dir(&[]);
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        symlink("nowhere", dir.path().join(name)).unwrap();
        let found = lines(&load(dir.path(), [], &[]).problems);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{name}: ")),
            "{found:?}"
        );
    }
    let found = problems(&[("agnes.toml.d", "")]);
    assert!(
        found[0].starts_with("agnes.toml.d: cannot be read"),
        "{found:?}"
    );
    let file = dir(&[("file", "")]);
    let loaded = load(&file.path().join("file"), [], &[]);
    assert!(
        !loaded.problems.is_empty(),
        "a file in place of the deployment's directory"
    );
}

#[test]
fn files_that_are_not_utf8_are_problems_and_the_rest_still_counts() {
    let dir = dir(&[]);
    let mut file = File::create(dir.path().join(".env")).unwrap();
    file.write_all(b"DOMAIN=agnes.example.com\n# caf\xe9\nTLS_KEY_TYPE=dsa\n")
        .unwrap();
    let mut file = File::create(dir.path().join("agnes.toml")).unwrap();
    file.write_all(b"\n\xff").unwrap();
    let loaded = load(dir.path(), [], &[]);
    assert_eq!(
        lines(&loaded.problems),
        [
            ".env:2: is not UTF-8 (expected the file to be saved as UTF-8)",
            ".env:3: TLS_KEY_TYPE: \"dsa\" is no key type (expected rsa-2048, rsa-3072, rsa-4096, ecdsa-p256 or ecdsa-p384)",
            "agnes.toml:2: is not UTF-8 (expected the file to be saved as UTF-8)",
        ]
    );
    assert_eq!(value(&loaded, "DOMAIN").value, "agnes.example.com");
    let bytes = OsString::from_vec(b"\xff".to_vec());
    let loaded = load(
        Path::new("/nonexistent"),
        [("DOMAIN".into(), bytes.clone())],
        &[],
    );
    assert_eq!(
        lines(&loaded.problems),
        ["environment: DOMAIN: is not UTF-8 (expected text)"]
    );
    let loaded = load(Path::new("/nonexistent"), [(bytes.clone(), bytes)], &[]);
    assert!(loaded.problems.is_empty());
}

#[test]
fn every_toml_problem_is_found_also_around_a_syntax_error() {
    let found = problems(&[(
        "agnes.toml",
        "config_version = \"1\"\ntsl = 3\nDOMAIN = \"x\"\nfullchain_url = \"sm://x\"\nfetch = 5\nruntime = = \n[tls]\nsome.deep.table = 1\n[server]\nlisten = \"localhost:8000\"\n",
    )]);
    let starts = [
        "agnes.toml:1: config_version: is of type string (expected 1)",
        "agnes.toml:2: tsl: is no setting; did you mean tls?",
        "agnes.toml:3: DOMAIN: is no setting; did you mean tls.domain?",
        "agnes.toml:4: fullchain_url: is no setting; did you mean tls.fullchain_url?",
        "agnes.toml:5: fetch: is of type integer (expected a table)",
        "agnes.toml:6: extra `=`",
        "agnes.toml:8: tls.some: is no setting (see docs/configuration.md for all of them)",
        "agnes.toml:10: server.listen: \"localhost:8000\" is no address with a port (expected ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for start in starts {
        assert!(
            found.iter().any(|line| line.starts_with(start)),
            "{start} in {found:#?}"
        );
    }
}

#[test]
fn a_key_and_its_second_path_in_one_file_is_a_problem() {
    let found = problems(&[(
        "agnes.toml",
        "domain = \"a.example.com\"\ndomain_alias = \"b.example.com\"\n[tls]\ndomain = \"a.example.com\"\nstate_dir = \"/x\"\n",
    )]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("means the same as"), "{found:?}");
}

#[test]
fn aliases_are_a_string_or_a_list() {
    let lists = [
        "domain_alias = [\"b.example.com\", \"c.example.com\"]",
        "domain_alias = \"b.example.com, C.example.com.\"",
    ];
    for text in lists {
        let settings = load_files(&[("agnes.toml", text)]).settings.unwrap();
        let names: Vec<_> = settings.tls.aliases.iter().map(Domain::as_str).collect();
        assert_eq!(names, ["b.example.com", "c.example.com"]);
    }
    assert_eq!(problems(&[("agnes.toml", "domain_alias = [1]")]).len(), 1);
}

#[test]
fn domain_may_be_left_out_only_while_no_chain_is_fetched() {
    let found = problems(&[(".env", "# x\nTLS_FULLCHAIN_URL=sm://agnes-fullchain\n")]);
    assert_eq!(
        found,
        [
            ".env:2: DOMAIN: is not set, but TLS_FULLCHAIN_URL is (expected the DNS name that the fetched certificate is for)"
        ]
    );
    let settings = load_files(&[(".env", "TLS_FULLCHAIN_URL=sm://x\nDOMAIN=localhost\n")]).settings;
    assert_eq!(settings.unwrap().tls.domain.as_str(), "localhost");
}

#[test]
fn near_misses_in_env_are_warnings_and_foreign_keys_are_nothing() {
    let loaded = load_files(&[(
        ".env",
        "TLS_FULCHAIN_URL=x\nPOSTGRES_PASSWORD=x\nDOMIAN=x\nlog_level=debug\nJWT_SECRET_KEY_FILE=\nAGNES_DIR=/x\nAGNES_TAG=stable\nCOMPOSE_PROJECT_NAME=x\n",
    )]);
    assert!(loaded.settings.is_some());
    assert_eq!(
        lines(&loaded.warnings),
        [
            ".env:1: TLS_FULCHAIN_URL: is no setting of ours; did you mean TLS_FULLCHAIN_URL?",
            ".env:3: DOMIAN: is no setting of ours; did you mean DOMAIN?",
            ".env:4: log_level: is no setting of ours; did you mean LOG_LEVEL?",
        ]
    );
}

#[test]
fn duplicates_and_unset_variables_of_ours_are_warnings() {
    let loaded = load_files(&[(
        ".env",
        "DOMAIN=a.example.com\nX=1\nX=$nobody\nDOMAIN=b.example.com\nJWT_SECRET_KEY=pa$word\n",
    )]);
    let found = lines(&loaded.warnings);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[0],
        ".env:1: DOMAIN: is given again in line 4, which is the one that counts"
    );
    assert!(
        found[1].starts_with(".env:5: JWT_SECRET_KEY: has a variable"),
        "{found:?}"
    );
    assert!(!found[1].contains("word"));
    assert_eq!(value(&loaded, "DOMAIN").value, "b.example.com");
}

#[test]
fn secrets_are_never_shown() {
    let secret = "s3cr3t-".repeat(10);
    let dir = dir(&[
        (
            ".env",
            &format!(
                "SCHEDULER_API_TOKEN={secret}\nTLS_PRIVKEY_URL=https://u:{secret}@example.com/k?sig={secret}\nTLS_FULLCHAIN_URL={secret}\nAGNES_SM_ENDPOINT=http://u:{secret}@example.com/\nDOMAIN=x\n"
            ),
        ),
        (
            "agnes.toml",
            "[[tls.reload]]\nkind = \"command\"\nargv = [\"reload\", \"s3cr3t-\"]\n",
        ),
    ]);
    let loaded = load(dir.path(), [], &[]);
    let all = format!("{loaded:?}");
    assert!(!all.contains("s3cr3t"), "{all}");
    assert_eq!(
        value(&loaded, "SCHEDULER_API_TOKEN").value,
        "<set, 70 chars>"
    );
    assert_eq!(value(&loaded, "JWT_SECRET_KEY").value, "<not set>");
    assert_eq!(
        value(&loaded, "TLS_PRIVKEY_URL").value,
        "https://example.com/k"
    );
    assert_eq!(
        value(&loaded, "TLS_FULLCHAIN_URL").value,
        "<not a URL, 70 chars>"
    );
    assert!(loaded.problems.len() == 2);
}

#[test]
fn a_secrets_file_beats_every_other_layer() {
    let dir = dir(&[
        (
            ".env",
            "JWT_SECRET_KEY=short\nJWT_SECRET_KEY_FILE=secrets/jwt\n",
        ),
        ("secrets/jwt", "0123456789\n"),
        ("secrets/empty", "\n"),
    ]);
    let flags = [("JWT_SECRET_KEY", "flag".to_owned())];
    let loaded = load(dir.path(), env(&[("JWT_SECRET_KEY", "process")]), &flags);
    let shown = value(&loaded, "JWT_SECRET_KEY");
    assert_eq!(shown.value, "<set, 10 chars>");
    assert_eq!(shown.source.to_string(), "secrets/jwt");
    for (path, what) in [
        ("secrets/none", "does not exist"),
        ("secrets/empty", "is empty"),
        ("secrets", "is a directory"),
    ] {
        let loaded = load(dir.path(), env(&[("JWT_SECRET_KEY_FILE", path)]), &[]);
        let found = lines(&loaded.server_problems);
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
        assert!(
            found[0].starts_with("environment: JWT_SECRET_KEY_FILE: "),
            "{found:?}"
        );
        assert!(value(&loaded, "JWT_SECRET_KEY").problem.is_some());
    }
}

#[test]
fn relative_paths_start_at_the_deployments_directory() {
    let dir = dir(&[(
        ".env",
        "DATA_DIR=data\nTLS_CA_BUNDLE=./ca.pem\nAGNES_RUNTIME=process\n",
    )]);
    let loaded = load(dir.path(), [], &[]);
    let shown = value(&loaded, "STATE_DIR");
    assert_eq!(
        shown.value,
        dir.path().join("data/state").display().to_string()
    );
    assert_eq!(shown.source, Source::Default);
    let settings = loaded.settings.unwrap();
    assert_eq!(settings.tls.ca_bundle, Some(dir.path().join("ca.pem")));
    let pid_file = dir.path().join("data/state/agnesd.pid");
    assert_eq!(
        settings.tls.reload,
        [ReloadWay::Signal {
            target: ProcessTarget::PidFile(pid_file),
            signal: Signal::Usr1
        }]
    );
}

#[test]
fn reload_ways_are_read_in_order_and_a_drop_in_replaces_them() {
    let toml = "[[tls.reload]]\nkind = \"signal\"\nunit = \"caddy.service\"\nsignal = \"HUP\"\n\
        [[tls.reload]]\nkind = \"caddy-admin\"\nurl = \"http://127.0.0.1:2019\"\n\
        [[tls.reload]]\nkind = \"caddy-admin\"\ncompose_service = \"caddy\"\nconfig = \"/etc/x\"\n\
        [[tls.reload]]\nkind = \"command\"\nargv = [\"reload\", \"--now\"]\n\
        [[tls.reload]]\nkind = \"restart\"\ncompose_service = \"caddy\"\n";
    let loaded = load_files(&[("agnes.toml", toml)]);
    assert_eq!(lines(&loaded.problems), Vec::<String>::new());
    assert_eq!(
        value(&loaded, "tls.reload").source.to_string(),
        "agnes.toml:1"
    );
    let ways = loaded.settings.unwrap().tls.reload;
    assert_eq!(ways.len(), 5);
    assert_eq!(
        ways[0],
        ReloadWay::Signal {
            target: ProcessTarget::Unit("caddy.service".to_owned()),
            signal: Signal::Hup
        }
    );
    let drop_in = "[tls]\nreload = [{ kind = \"restart\", unit = \"caddy.service\" }]\n";
    let loaded = load_files(&[("agnes.toml", toml), ("agnes.toml.d/10-x.toml", drop_in)]);
    assert_eq!(
        value(&loaded, "tls.reload").value,
        "restart unit caddy.service"
    );
    assert_eq!(loaded.settings.unwrap().tls.reload.len(), 1);
}

#[test]
fn wrong_reload_ways_are_named_by_entry_and_field() {
    let toml = "[[tls.reload]]\nkind = \"signal\"\n[[tls.reload]]\nkind = \"signal\"\nunit = \"x\"\ncompose_service = \"y\"\n\
        [[tls.reload]]\nkind = \"sginal\"\n[[tls.reload]]\nunit = \"x\"\n[[tls.reload]]\nkind = \"command\"\nargv = \"reload --now\"\n\
        [[tls.reload]]\nkind = \"restart\"\nunit = \"x\"\nsignal = \"HUP\"\n[[tls.reload]]\nkind = \"caddy-admin\"\nurl = \"http://x:2019\"\nconfig = \"/x\"\n\
        [[tls.reload]]\nkind = \"signal\"\nunit = \"-x\"\nsignal = 1\n";
    let expected = [
        "agnes.toml:1: tls.reload[0]: has no target (expected exactly one of pid_file, unit, compose_service)",
        "agnes.toml:3: tls.reload[1]: has more than one target (expected exactly one of pid_file, unit, compose_service)",
        "agnes.toml:8: tls.reload[2].kind: \"sginal\" is no kind (expected signal, caddy-admin, command or restart)",
        "agnes.toml:9: tls.reload[3]: kind is missing (expected signal, caddy-admin, command or restart)",
        "agnes.toml:13: tls.reload[4].argv: is one string; no shell splits it (expected a list of program and arguments)",
        "agnes.toml:17: tls.reload[5].signal: is no field of kind = \"restart\"",
        "agnes.toml:21: tls.reload[6].config: is no field of kind = \"caddy-admin\"",
        "agnes.toml:24: tls.reload[7].unit: \"-x\" is no name of a systemd unit",
        "agnes.toml:25: tls.reload[7].signal: is of type integer (expected a string)",
    ];
    let loaded = load_files(&[("agnes.toml", toml)]);
    assert_eq!(lines(&loaded.problems), expected);
    assert!(value(&loaded, "tls.reload").problem.is_some());
    assert_eq!(problems(&[("agnes.toml", "[tls]\nreload = []\n")]).len(), 1);
    assert_eq!(
        problems(&[("agnes.toml", "[tls]\nreload = \"x\"\n")]).len(),
        1
    );
}

#[test]
fn values_that_contradict_each_other_are_found() {
    let problem = |env: &str, toml: &str, part: &str| {
        let found = problems(&[(".env", env), ("agnes.toml", toml)]);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    };
    problem(
        "",
        "[fetch]\nconnect_timeout = \"30s\"\n",
        "agnes.toml:2: fetch.connect_timeout: ",
    );
    problem(
        "",
        "[fetch]\ntimeout = \"1s\"\n",
        "agnes.toml:2: fetch.timeout: ",
    );
    problem(
        "AGNES_TLS_LISTEN=0.0.0.0:8000\n",
        "",
        ".env:1: AGNES_TLS_LISTEN: takes the same port",
    );
    let long = format!("DOMAIN={0}.{0}.example.com\n", "x".repeat(40));
    problem(
        &long,
        "",
        ".env:1: TLS_CSR_SUBJECT: is not set, and DOMAIN is too long",
    );

    let warning = |env: &str, part: &str| {
        let loaded = load_files(&[(".env", env)]);
        let found = lines(&loaded.warnings);
        assert!(loaded.settings.is_some() && found.len() == 1, "{found:?}");
        assert!(found[0].contains(part), "{found:?}");
    };
    warning(
        "DOMAIN=a.example.com\nDOMAIN_ALIAS=a.example.com\n",
        "is DOMAIN itself",
    );
    warning(
        "DOMAIN_ALIAS=a.example.com,a.example.com\n",
        "stands there twice",
    );
    warning("TLS_PRIVKEY_URL=sm://x\n", "no chain to rotate to");
    warning(
        "DOMAIN=a.example.com\nTLS_CSR_SUBJECT=/CN=b.example.com\n",
        "its CN is not DOMAIN",
    );
    warning(
        "AGNES_RUNTIME=process\nAGNES_TLS_LISTEN=127.0.0.1:8443\nTLS_SERVED_ADDRESS=127.0.0.1:443\n",
        "is not where agnesd listens",
    );
    warning(
        "DOMAIN=x\nTLS_FULLCHAIN_URL=sm://x\nTLS_PRIVKEY_URL=sm://x\n",
        "two places",
    );
}

#[test]
fn invalid_values_are_still_shown_with_their_problem() {
    let loaded = load_files(&[
        (
            ".env",
            "TLS_KEY_TYPE=rsa-1024\nTLS_FULLCHAIN_URL=ftp://u:p@example.com/x?y\nDATA_DIR=/\n",
        ),
        ("agnes.toml", "[fetch]\ntimeout = 25\n"),
    ]);
    assert!(loaded.settings.is_none());
    for (key, shown) in [
        ("TLS_KEY_TYPE", "rsa-1024"),
        ("TLS_FULLCHAIN_URL", "ftp://example.com/x"),
        ("DATA_DIR", "/"),
        ("fetch.timeout", "25"),
    ] {
        let value = value(&loaded, key);
        assert_eq!(value.value, shown);
        assert!(value.problem.is_some(), "{key}");
    }
    assert!(value(&loaded, "LOG_LEVEL").problem.is_none());
    let error = loaded.into_settings().unwrap_err();
    assert_eq!(error.to_string().lines().count(), error.0.len());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_loading_panic_or_span_lines(env in ".{0,80}", toml in ".{0,80}", key in "[a-z.]{1,12}") {
        let toml = format!("{key} = \"{env}\"\n[[tls.reload]]\n{key} = 1\n{toml}");
        let env = format!("DOMAIN={env}\nTLS_FULLCHAIN_URL=\"{env}\"\n{toml}");
        let loaded = load_files(&[(".env", &env), ("agnes.toml", &toml)]);
        for problem in loaded.problems.iter().chain(&loaded.warnings) {
            assert_eq!(problem.to_string().lines().count(), 1);
        }
        assert_eq!(loaded.settings.is_none(), !loaded.problems.is_empty());
    }
}

#[test]
fn drop_ins_count_by_name_whatever_order_the_directory_has() {
    let names =
        [53, 17, 90, 38, 71, 26, 44, 82, 65, 11].map(|n| format!("agnes.toml.d/{n}-x.toml"));
    let texts = names.each_ref().map(|name| {
        let label = name.replace(|c: char| !c.is_ascii_digit(), "");
        format!("domain = \"d{label}.example.com\"")
    });
    let files: Vec<(&str, &str)> = names
        .iter()
        .zip(&texts)
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    for count in 1..=files.len() {
        let loaded = load_files(&files[..count]);
        let last = names[..count].iter().max().unwrap();
        let source = value(&loaded, "DOMAIN").source.to_string();
        assert_eq!(source, format!("{last}:1"));
    }
    let loaded = load_files(&[
        ("agnes.toml.d/x.toml", "!"),
        ("agnes.toml.d/10-x.toml~", "!"),
    ]);
    assert!(loaded.settings.is_some(), "files that are not drop-ins");
}

#[test]
fn one_process_is_looked_at_where_it_listens() {
    for (listen, served) in [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("0.0.0.0:443", "127.0.0.1:443"),
        ("[::]:8443", "[::1]:8443"),
    ] {
        let text = format!("AGNES_RUNTIME=process\nAGNES_TLS_LISTEN={listen}\n");
        let settings = load_files(&[(".env", &text)]).settings.unwrap();
        assert_eq!(
            settings.tls.served_address,
            ServedAddress::At(served.to_owned())
        );
    }
}

#[test]
fn one_process_without_tls_is_looked_at_nowhere() {
    let off = "AGNES_RUNTIME=process\n";
    let loaded = load_files(&[(".env", off)]);
    let shown = value(&loaded, "TLS_SERVED_ADDRESS");
    assert_eq!(shown.value, "none");
    assert_eq!(shown.source, Source::Default);
    let settings = loaded.settings.unwrap();
    assert_eq!(settings.tls.served_address, ServedAddress::Off);
    let said = format!("{off}TLS_SERVED_ADDRESS=127.0.0.1:9443\n");
    let settings = load_files(&[(".env", &said)]).settings.unwrap();
    assert_eq!(
        settings.tls.served_address,
        ServedAddress::At("127.0.0.1:9443".to_owned())
    );
}

#[test]
fn a_subject_that_cannot_be_written_is_named_with_its_line() {
    let found = problems(&[(".env", "\nTLS_CSR_SUBJECT=/serialNumber=12_3/CN=x\n")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(".env:2: TLS_CSR_SUBJECT: serialNumber cannot carry '_'"),
        "{found:?}"
    );
}

#[test]
fn each_alias_is_kept_once_and_never_the_domain() {
    let loaded = load_files(&[(
        ".env",
        "DOMAIN=a.example.com\nDOMAIN_ALIAS=\"a.example.com,A.example.com b.example.com,,b.example.com\"\n",
    )]);
    assert_eq!(
        lines(&loaded.warnings),
        [
            ".env:2: DOMAIN_ALIAS: a.example.com is DOMAIN itself, so it adds nothing",
            ".env:2: DOMAIN_ALIAS: b.example.com stands there twice",
        ]
    );
    let settings = loaded.settings.unwrap();
    let names: Vec<_> = settings.tls.aliases.iter().map(Domain::as_str).collect();
    assert_eq!(names, ["b.example.com"]);
}

#[test]
fn a_toml_file_that_is_no_drop_in_is_a_warning() {
    let loaded = load_files(&[
        ("agnes.toml.d/local.toml", "!"),
        ("agnes.toml.d/10-x.TOML", "!"),
        ("agnes.toml.d/20-x.toml", ""),
        ("agnes.toml.d/README", "!"),
        ("agnes.toml.d/10-x.toml~", "!"),
        ("agnes.toml.d/two\nlines.toml", "!"),
    ]);
    assert!(loaded.settings.is_some());
    let rest = "is not read: its name is not that of a drop-in (expected NN-name.toml such as 10-local.toml)";
    assert_eq!(
        lines(&loaded.warnings),
        [
            format!("agnes.toml.d/10-x.TOML: {rest}"),
            format!("agnes.toml.d/local.toml: {rest}"),
            format!("agnes.toml.d/two lines.toml: {rest}"),
        ]
    );
    let dir = dir(&[("agnes.toml.d/x", "")]);
    let name = OsString::from_vec(b"10-\xff.toml".to_vec());
    File::create(dir.path().join("agnes.toml.d").join(name)).unwrap();
    assert_eq!(load(dir.path(), [], &[]).warnings.len(), 1);
}

#[test]
fn agnesd_is_not_to_be_sent_a_signal_that_it_does_not_handle() {
    let env = "AGNES_RUNTIME=process\nDATA_DIR=data\n";
    let warnings = |env: &str, file: &str, signal: &str| {
        let toml = format!(
            "\n[[tls.reload]]\nkind = \"signal\"\npid_file = \"{file}\"\nsignal = \"{signal}\"\n"
        );
        let loaded = load_files(&[(".env", env), ("agnes.toml", &toml)]);
        assert!(loaded.settings.is_some());
        lines(&loaded.warnings)
    };
    assert_eq!(
        warnings(env, "data/state/agnesd.pid", "SIGUSR2"),
        [
            "agnes.toml:2: tls.reload: sends SIGUSR2 to agnesd, which does not handle it (expected SIGUSR1)"
        ]
    );
    for (env, file, signal) in [
        (env, "data/state/agnesd.pid", "SIGUSR1"),
        (env, "/run/caddy.pid", "SIGUSR2"),
        ("DATA_DIR=data\n", "data/state/agnesd.pid", "SIGUSR2"),
    ] {
        assert_eq!(warnings(env, file, signal), Vec::<String>::new(), "{file}");
    }
}

//! Which layer counts, and what a file gives.

use super::*;

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
fn a_service_manager_s_copy_is_read_in_place_of_env() {
    let dir = dir(&[
        (".env", "DOMAIN=own.example.com\n"),
        ("copy", "DOMAIN=copy.example.com\n"),
    ]);
    let from = |file: &str| load(dir.path(), env(&[("AGNES_ENV_FILE", file)]), &[]);
    let domain = |loaded: Loaded| loaded.settings.unwrap().tls.domain.as_str().to_owned();
    assert_eq!(domain(from("")), "own.example.com");
    let copy = dir.path().join("copy").display().to_string();
    let loaded = from(&copy);
    let source = value(&loaded, "DOMAIN").source.to_string();
    assert_eq!(source, format!("{copy}:1"));
    assert_eq!(domain(loaded), "copy.example.com");
    // named on purpose: absent is a problem, and no default
    assert_eq!(
        lines(&from("/absent/env").problems),
        ["/absent/env: AGNES_ENV_FILE: there is no such file"]
    );
}

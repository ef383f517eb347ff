//! What is wrong with the files themselves, each named.

use super::*;

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

//! What single keys take, and what they mean together.

use super::*;

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

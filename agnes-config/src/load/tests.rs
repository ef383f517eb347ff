//! Real directories, real files.

use std::fs::{self, File};
use std::io::Write;
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

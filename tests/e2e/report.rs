//! One file for a ticket: everything that helps, and nothing that must not leave the host.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use agnes_e2e::api::{ADMIN, Caller, PASSWORD};
use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use serde_json::Value;

/// The archive's files, by their path below its one directory; GNU tar reads it.
fn unpacked(archive: &Path) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(archive).arg("-C").arg(dir.path());
    assert!(tar.status().unwrap().success());
    let mut tops = std::fs::read_dir(dir.path()).unwrap();
    let top = tops.next().unwrap().unwrap().path();
    assert!(tops.next().is_none(), "all is below one directory");
    let mut files = BTreeMap::new();
    let mut open = vec![top.clone()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(&top).unwrap().display().to_string();
            let bytes = std::fs::read(&path).unwrap();
            files.insert(name, String::from_utf8(bytes).unwrap());
        }
    }
    files
}

fn made(deployment: &Deployment) -> (Ran, BTreeMap<String, String>) {
    let archive = deployment.dir().join("ticket.tar.gz");
    let ran = deployment
        .ops(&["report", "-o", archive.to_str().unwrap()])
        .exits(0);
    let mode = std::fs::metadata(&archive).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files = unpacked(&archive);
    (ran, files)
}

#[test]
fn a_bundle_has_everything_that_helps_and_no_secret_in_any_spelling() {
    const PLANTED: [(&str, &str); 5] = [
        ("GRAFANA_ADMIN_PASS", "planted-by-a-short-name"),
        ("DATA_SOURCE_TOKEN", "planted/token+one==two"),
        (
            "ALERT_WEBHOOK_URL",
            "https://chat.example.com/hook/planted-hook-9a1b?key=planted-key",
        ),
        ("SMTP_PASSWORD", "planted-mail-password"),
        (
            "DB_DSN",
            "postgres://agnes:planted-dsn-password@db.example.com/agnes",
        ),
    ];
    let address = ports::free_address();
    let mut deployment = Deployment::process(address)
        .with("SMTP_HOST", "smtp.example.com")
        .with("SMTP_USER", "agnes@example.com");
    for (name, value) in PLANTED {
        deployment.set(name, value);
    }
    deployment.ops(&["up"]).exits(0);
    let admin = Caller::of(address).first_admin();
    admin.get("/api/me").is(200);
    deployment.ops(&["snapshot", "create"]).exits(0);
    deployment.ops(&["watch"]);
    deployment
        .ops(&["incident", "contain", ADMIN, "--yes"])
        .exits(0);
    // what a careless program logs, in three spellings, beside what an operator needs
    let log = deployment.state().join("ops/agnesd.log");
    let token = PLANTED[1].1;
    let encoded = openssl::base64::encode_block(token.as_bytes());
    let jwt =
        std::fs::read_to_string(deployment.state().join("secrets/live/JWT_SECRET_KEY")).unwrap();
    let key = std::fs::read_to_string(deployment.certs().join("privkey.pem")).unwrap();
    let old = std::fs::read_to_string(&log).unwrap();
    std::fs::write(
        &log,
        format!("{old}a line that helps\nshort planted-by-a-short-name\nsource {token} {encoded}\nkey {jwt}\n{key}\nAuthorization: Bearer abc.def.ghi\nmail for jane.doe@example.com\n"),
    )
    .unwrap();

    let (ran, files) = made(&deployment);
    for name in [
        "manifest.json",
        "config.txt",
        "status.txt",
        "status.json",
        "doctor.txt",
        "doctor.json",
        "ops/status/snapshot-create.json",
        "ops/vitals.json",
        "ops/metrics/agnes_ops.prom",
        "logs/agnesd.log",
        "host/disks.txt",
        "host/os-release.txt",
    ] {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    assert!(files["logs/agnesd.log"].contains("a line that helps\n"));
    assert!(
        files["config.txt"].contains("SMTP_HOST"),
        "{}",
        files["config.txt"]
    );
    let status: Value = serde_json::from_str(&files["status.json"]).unwrap();
    assert_eq!(status["details"]["release"]["ready"], true);
    let manifest: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["contents"], *ran.detail("contents"));
    let left_out = manifest["left_out"].as_array().unwrap();
    assert!(
        left_out.iter().any(|one| one["name"] == "ops/incidents"),
        "{left_out:?}"
    );

    let secrets = deployment.state().join("secrets/live");
    let mut forbidden: Vec<String> = std::fs::read_dir(secrets)
        .unwrap()
        .map(|entry| {
            std::fs::read_to_string(entry.unwrap().path())
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect();
    assert!(forbidden.len() > 2);
    forbidden.extend(
        [
            "planted",
            "jane.doe",
            PASSWORD,
            "PRIVATE KEY",
            "abc.def.ghi",
        ]
        .map(str::to_owned),
    );
    forbidden.push(encoded);
    forbidden.push(key.lines().nth(1).unwrap().to_owned());
    for (name, text) in &files {
        for secret in &forbidden {
            assert!(!text.contains(secret.as_str()), "{name} holds {secret}");
        }
    }
    assert!(ran.detail("redactions").as_u64().unwrap() > 5);

    // half of it is not left where the disk takes no more of it
    let nowhere = deployment
        .ops(&["report", "-o", "/proc/ticket.tar.gz"])
        .exits(1);
    assert!(
        nowhere.stderr.contains("/proc/ticket.tar.gz"),
        "{}",
        nowhere.stderr
    );
    deployment.ops(&["down"]).exits(0);
}

#[test]
fn a_bundle_is_made_of_a_host_that_has_nothing_and_of_settings_that_are_wrong() {
    let empty = Deployment::new();
    let (_, files) = made(&empty);
    assert!(
        files["status.txt"].contains("deployment"),
        "{}",
        files["status.txt"]
    );
    let wrong = Deployment::new()
        .with("AGNES_RUNTIME", "neither")
        .with("API_TOKEN", "planted-token");
    let (_, files) = made(&wrong);
    assert!(
        files["config.txt"].contains("AGNES_RUNTIME"),
        "{}",
        files["config.txt"]
    );
    assert!(
        files["doctor.txt"].contains("config.valid"),
        "{}",
        files["doctor.txt"]
    );
    assert!(files.values().all(|text| !text.contains("planted-token")));
    // by itself it is here
    let mut here = empty.command(&["report", "--json"]);
    here.current_dir(empty.dir());
    let ran = agnes_e2e::deployment::run(here).exits(0);
    let path = ran.detail("path").as_str().unwrap();
    assert!(
        path.contains("/agnes-report-") && Path::new(path).is_file(),
        "{path}"
    );
}

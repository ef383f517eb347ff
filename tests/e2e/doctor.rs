//! W04: a host that is well has no finding, and of a fault the first finding is that fault's own.

mod disk;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use agnes_e2e::authority::{Authority, Leaf, common_name, ec_key, key_pem, public};
use agnes_e2e::deployment::{DOMAIN, Deployment, Ran};
use agnes_e2e::ports;
use serde_json::{Value, json};

/// A server of this host, with its certificate, a proven snapshot, and all records.
pub(crate) struct Well {
    pub(crate) deployment: Deployment,
}

impl Well {
    pub(crate) fn new() -> Self {
        Self::with("METRICS_ADDR", "off")
    }

    pub(crate) fn with(key: &str, value: &str) -> Self {
        let address = ports::free_address();
        let deployment = Deployment::new()
            .polls_itself()
            .with("AGNES_RUNTIME", "process")
            .with("AGNES_LISTEN", ports::free_address().to_string())
            .with(key, value)
            .with("AGNES_TLS_LISTEN", address.to_string())
            .with("TLS_SERVED_ADDRESS", address.to_string());
        let well = Self { deployment };
        well.ops(&["up"]).exits(0);
        let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
        let leaf = authority.sign(&well.deployment.request(), &Leaf::new(DOMAIN));
        well.deployment.publish(authority.chain(&leaf));
        well.ops(&["tls", "rotate"]).exits(0);
        well.ops(&["secrets", "ensure"]).exits(0);
        well.ops(&["snapshot", "create"]).exits(0);
        well
    }

    pub(crate) fn ops(&self, verb: &[&str]) -> Ran {
        self.deployment.ops(verb)
    }

    fn doctor(&self) -> Ran {
        self.ops(&["doctor"])
    }

    fn state(&self, below: &str) -> PathBuf {
        self.deployment.state().join(below)
    }

    fn record(&self, slug: &str, change: impl Fn(&mut Value)) {
        let path = self.state(&format!("ops/status/{slug}.json"));
        let text = std::fs::read(&path).unwrap_or_else(|_| b"{}".to_vec());
        let mut record: Value = serde_json::from_slice(&text).unwrap();
        change(&mut record);
        std::fs::write(path, record.to_string()).unwrap();
    }

    fn pid(&self) -> nix::unistd::Pid {
        let text = std::fs::read_to_string(self.state("ops/agnesd.json")).unwrap();
        let started: Value = serde_json::from_str(&text).unwrap();
        let pid = started["pid"].as_i64().unwrap();
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap())
    }

    /// Rewrites one line of `.env`.
    pub(crate) fn env(&self, key: &str, value: &str) {
        let path = self.deployment.dir().join(".env");
        let text = std::fs::read_to_string(&path).unwrap();
        let kept = text
            .lines()
            .filter(|line| !line.starts_with(&format!("{key}=")));
        let mut lines: Vec<String> = kept.map(str::to_owned).collect();
        lines.push(format!("{key}={value}"));
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

impl Drop for Well {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

fn ids(ran: &Ran) -> Vec<(String, Option<String>)> {
    let findings = ran.json["details"]["findings"].as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().map(str::to_owned);
    findings
        .iter()
        .map(|finding| (text(finding, "id").unwrap(), text(finding, "because")))
        .collect()
}

fn mode(path: PathBuf, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

fn signal(well: &Well, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(well.pid(), signal).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// A pair that no client of this deployment should see.
fn foreign_pair(domain: &str, from: i64, to: i64) -> (String, String) {
    let key = ec_key();
    let authority = Authority::root("Other Root").intermediate("Other Issuing CA");
    let leaf = authority.sign_key(
        &public(&key),
        &common_name(domain),
        &Leaf::new(domain).days(from, to),
    );
    (authority.chain(&leaf), key_pem(&key))
}

/// Puts a pair in the place of the one that is served from.
fn replace_pair(well: &Well, chain: &str, key: &str) {
    let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
    std::fs::write(current.join("fullchain.pem"), chain).unwrap();
    std::fs::write(current.join("privkey.pem"), key).unwrap();
}

fn failed(well: &Well, slug: &str) {
    well.record(slug, |record| {
        record["exit"] = json!(1);
        record["at"] = json!("2026-11-28T00:00:00Z");
        record["details"] = json!({"reason": "made-up", "message": "by a test"});
    });
}

fn journal(well: &Well, name: &str) {
    let path = well.state("ops/journal");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(format!("{name}.json")), r#"{"phase":"made up"}"#).unwrap();
}

fn snapshot(well: &Well) -> PathBuf {
    let all = well.deployment.state().parent().unwrap().join("snapshots");
    let mut found = std::fs::read_dir(&all)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    found.next().unwrap()
}

/// One fault: what its first finding is called, and how it comes about.
type Fault = (&'static str, fn(&Well));

/// Of each one host is made sick; every part of the deployment is among them.
const FAULTS: &[Fault] = &[
    ("config.valid", |well| well.env("TLS_KEY_TYPE", "rot13")),
    ("config.valid", |well| {
        std::fs::write(well.deployment.dir().join("agnes.toml"), "nonsense = 1\n").unwrap();
    }),
    ("config.valid", |well| {
        std::fs::write(well.deployment.dir().join("agnes.toml"), "[upgrade\n").unwrap();
    }),
    ("disk.mounted", |well| {
        let toml = "[host]\ndata_device = \"/dev/disk/by-id/absent\"\n";
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("files.owner", |well| mode(well.state("ops"), 0o777)),
    ("files.owner", |well| {
        mode(well.deployment.dir().to_owned(), 0o777);
    }),
    ("files.owner", |well| mode(well.state("audit.key"), 0o666)),
    ("files.owner", |well| {
        mode(well.state("secrets/live"), 0o777);
    }),
    ("ops.files", |well| {
        std::fs::write(well.state("ops/ledger/snapshots.json"), "junk").unwrap();
    }),
    ("ops.files", |well| {
        std::fs::create_dir_all(well.state("ops/journal")).unwrap();
        std::fs::write(well.state("ops/journal/restore.json"), "\0junk").unwrap();
    }),
    ("secrets.missing", |well| {
        let secret = well.state("secrets/SESSION_SECRET");
        std::fs::remove_dir_all(secret).unwrap();
        well.env("SESSION_SECRET", "");
    }),
    ("secrets.damaged", |well| {
        std::fs::write(well.state("secrets/JWT_SECRET_KEY/1"), [0xff, 0xfe]).unwrap();
    }),
    ("secrets.short", |well| well.env("SESSION_SECRET", "short")),
    ("secrets.placeholder", |well| {
        well.env("JWT_SECRET_KEY", "change-me-change-me-change-me-change-me");
    }),
    ("secrets.env-missing", |well| {
        well.env("SCHEDULER_API_TOKEN", "");
    }),
    ("secrets.env-differs", |well| {
        let other = "8f0c1d2e3b4a59687766554433221100ffeeddccbbaa99887766554433221100";
        well.env("SCHEDULER_API_TOKEN", other);
    }),
    ("secrets.live-differs", |well| {
        let path = well.state("secrets/live/SESSION_SECRET");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "another").unwrap();
    }),
    ("secrets.live-differs", |well| {
        mode(well.state("secrets/live/SESSION_SECRET"), 0o444);
    }),
    ("secrets.readable", |well| {
        mode(well.deployment.dir().join(".env"), 0o644);
    }),
    ("secrets.readable", |well| {
        mode(well.state("secrets/JWT_SECRET_KEY/1"), 0o640);
    }),
    ("server.answers", |well| {
        signal(well, nix::sys::signal::Signal::SIGKILL);
    }),
    ("server.answers", |well| {
        std::fs::remove_file(
            well.deployment
                .state()
                .parent()
                .unwrap()
                .join("run/agnesd.sock"),
        )
        .unwrap();
    }),
    ("server.answers", |well| {
        well.ops(&["down"]).exits(0);
    }),
    ("store.quarantined", |well| {
        std::fs::write(well.state("system.duckdb.quarantined"), "").unwrap();
    }),
    ("upgrade.open", |well| journal(well, "upgrade")),
    ("restore.open", |well| journal(well, "restore")),
    ("server.held", |well| {
        well.post("/v1/writes/hold", &json!({"id": "made-up", "by": "a test"}));
    }),
    ("tls.missing", |well| {
        std::fs::remove_file(well.state("certs/current")).unwrap();
        std::fs::remove_dir_all(well.state("certs/generations")).unwrap();
        for name in ["fullchain.pem", "privkey.pem"] {
            std::fs::remove_file(well.state("certs").join(name)).unwrap();
        }
    }),
    ("tls.pair", |well| {
        let (_, key) = foreign_pair(DOMAIN, -1, 90);
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        std::fs::write(current.join("privkey.pem"), key).unwrap();
    }),
    ("tls.pair", |well| {
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        std::fs::write(current.join("fullchain.pem"), "junk").unwrap();
    }),
    ("tls.key-mode", |well| {
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        mode(current.join("privkey.pem"), 0o644);
    }),
    ("tls.layout", |well| {
        std::fs::remove_file(well.state("certs/fullchain.pem")).unwrap();
    }),
    ("tls.pending", |well| {
        std::fs::create_dir_all(well.state("certs/pending")).unwrap();
        std::fs::write(well.state("certs/pending/7.pem"), "junk").unwrap();
    }),
    ("tls.open", |well| journal(well, "tls-rotate")),
    ("tls.expiry", |well| {
        let (chain, key) = foreign_pair(DOMAIN, -89, 1);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.expiry", |well| {
        let (chain, key) = foreign_pair(DOMAIN, -90, -1);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.name", |well| {
        let (chain, key) = foreign_pair("other.example.com", -1, 90);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.served", |well| {
        // issued before the published one, which is no step back from it, however long that was ago
        let (chain, key) = foreign_pair(DOMAIN, -2, 90);
        replace_pair(well, &chain, &key);
    }),
    ("tls.listens", |well| {
        well.env("TLS_SERVED_ADDRESS", "127.0.0.1:1");
    }),
    ("tls.source", |well| {
        std::fs::write(well.deployment.published(), "junk").unwrap();
    }),
    ("tls.source", |well| {
        let (chain, _) = foreign_pair(DOMAIN, -1, 90);
        std::fs::write(well.deployment.published(), chain).unwrap();
    }),
    ("tls.failed", |well| failed(well, "tls-rotate")),
    ("secrets.failed", |well| failed(well, "secrets-ensure")),
    ("snapshot.failed", |well| failed(well, "snapshot-create")),
    ("drill.failed", |well| failed(well, "snapshot-drill")),
    ("boot.failed", |well| failed(well, "boot")),
    ("upgrade.failed", |well| failed(well, "upgrade")),
    ("snapshot.damaged", |well| {
        std::fs::remove_file(snapshot(well).join("system.duckdb")).unwrap();
    }),
    ("snapshot.opens", |well| {
        let path = snapshot(well).join("system.duckdb");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(path, bytes).unwrap();
    }),
    ("snapshot.proven", |well| {
        std::fs::remove_file(well.state("ops/ledger/snapshots.json")).unwrap();
    }),
    ("snapshot.damaged", |well| {
        std::fs::write(snapshot(well).join("system.duckdb"), "short").unwrap();
    }),
    ("snapshot.age", |well| {
        std::fs::remove_dir_all(snapshot(well)).unwrap();
        let key = std::fs::File::options()
            .write(true)
            .open(well.state("audit.key"))
            .unwrap();
        key.set_modified(std::time::UNIX_EPOCH).unwrap();
    }),
    ("snapshot.remote", |well| {
        let toml = format!(
            "[snapshot]\npush_to = \"file://{}\"\n",
            well.deployment.dir().join("elsewhere").display()
        );
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("config.server", |well| {
        let toml = "[[jobs]]\nname = \"job\"\nschedule = \"every 1h\"\nurl = \"https://api.example.com/job\"\ntoken_env = \"NOT_SET\"\n";
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("tls.layout", |well| {
        std::fs::remove_file(well.state("certs/privkey.pem")).unwrap();
        symlink("/nowhere", well.state("certs/privkey.pem")).unwrap();
    }),
];

impl Well {
    pub(crate) fn post(&self, path: &str, body: &Value) {
        use std::io::{Read as _, Write as _};
        let socket = self
            .deployment
            .state()
            .parent()
            .unwrap()
            .join("run/agnesd.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn w04_a_host_that_is_well_has_no_finding_and_says_what_was_not_checked() {
    let well = Well::new();
    let ran = well.doctor().exits(0);
    assert_eq!(ids(&ran), [], "{}", ran.stdout);
    let passed = ran.json["details"]["passed"].as_array().unwrap();
    for id in [
        "tls.pair",
        "tls.served",
        "store.write",
        "snapshot.opens",
        "disk.space",
    ] {
        assert!(passed.contains(&json!(id)), "{id}: {}", ran.stdout);
    }
    let unchecked = ran.json["details"]["unchecked"].as_array().unwrap();
    assert!(
        unchecked
            .iter()
            .all(|one| !one["why"].as_str().unwrap().is_empty())
    );
    assert!(unchecked.iter().any(|one| one["id"] == "docker.engine"));
    // a part, one check, and none
    let ran = well.ops(&["doctor", "tls"]).exits(0);
    let passed = ran.json["details"]["passed"].as_array().unwrap();
    assert!(
        passed.len() > 5
            && passed
                .iter()
                .all(|id| id.as_str().unwrap().starts_with("tls."))
    );
    assert_eq!(
        well.ops(&["doctor", "store.write"]).exits(0).json["details"]["passed"],
        json!(["store.write"])
    );
    well.ops(&["doctor", "no.such"]).exits(2);
}

/// What a person has closed stays closed, and nothing that was not named is changed.
#[test]
fn w04_fix_opens_nothing() {
    let well = Well::new();
    mode(well.deployment.dir().to_owned(), 0o700);
    mode(well.state("ops"), 0o777);
    well.ops(&["doctor", "--fix"]).exits(0);
    let bits = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(well.state("ops")), 0o700);
    assert_eq!(bits(well.deployment.dir().to_owned()), 0o700);
    // a certificate of another name is not loaded, however well that would go
    let served = |well: &Well| well.ops(&["tls", "check"]).detail("served.sha256").clone();
    let before = served(&well);
    let (chain, key) = foreign_pair("other.example.com", -1, 90);
    replace_pair(&well, &chain, &key);
    well.ops(&["doctor", "--fix"]).exits(10);
    assert_eq!(served(&well), before);
}

#[test]
fn w04_an_empty_host_has_no_finding() {
    let empty = Deployment::new();
    let ran = empty.ops(&["doctor"]).exits(0);
    assert_eq!(ids(&ran), [], "{}", ran.stdout);
}

#[test]
fn w04_the_first_finding_is_the_fault_itself() {
    let seed = usize::try_from(agnes_e2e::components::seed()).unwrap();
    let whole = agnes_e2e::components::is_soak();
    println!("seed {seed}: {} faults", FAULTS.len());
    let mut wrong = Vec::new();
    for (number, (id, fault)) in FAULTS.iter().enumerate() {
        // three of five, others at each run
        if !whole && (number + seed) % 5 > 2 {
            continue;
        }
        let well = Well::new();
        fault(&well);
        let ran = well.doctor();
        let found = ids(&ran);
        let first = found.first().map(|(id, _)| id.as_str());
        let causes: Vec<&String> = found
            .iter()
            .filter(|(_, because)| because.is_none())
            .map(|(id, _)| id)
            .collect();
        if ran.code != 10 || first != Some(id) || causes.iter().any(|cause| cause != id) {
            let told = &ran.json["details"]["findings"];
            wrong.push(format!("{number} {id}: {found:?}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is safe to mend is mended by the commands that do it anyway; what a person has to decide is left.
#[test]
fn w04_fix_mends_what_is_safe_and_says_what_is_left() {
    let well = Well::new();
    let mends = |well: &Well, id: &str| {
        let ran = well
            .ops(&["doctor", "--fix"])
            .exits(0)
            .with_outcome("changed");
        let steps = ran.json["steps"].as_array().unwrap();
        assert!(
            steps.iter().all(|step| step["result"] == "done"),
            "{id}: {}",
            ran.stdout
        );
        well.doctor().exits(0);
    };
    let safe = [
        "files.owner",
        "secrets.damaged",
        "secrets.short",
        "secrets.env-missing",
        "secrets.live-differs",
        "secrets.readable",
        "tls.key-mode",
        "tls.layout",
    ];
    for id in safe {
        let (_, fault) = FAULTS.iter().find(|(known, _)| known == &id).unwrap();
        fault(&well);
        mends(&well, id);
    }
    well.ops(&["doctor", "--fix"])
        .exits(0)
        .with_outcome("unchanged");
    // a hold may be somebody's on purpose
    let (_, fault) = FAULTS
        .iter()
        .find(|(known, _)| *known == "server.held")
        .unwrap();
    fault(&well);
    let left = well
        .ops(&["doctor", "--fix"])
        .exits(10)
        .with_outcome("unchanged");
    assert_eq!(ids(&left), [("server.held".to_owned(), None)]);
}

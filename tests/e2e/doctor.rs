//! W04: a host that is well has no finding, and of a fault the first finding is that fault's own.

pub(crate) mod disk;
mod faults;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use agnes_e2e::authority::{Authority, Leaf};
use agnes_e2e::deployment::{DOMAIN, Deployment, Ran};
use agnes_e2e::ports;
use serde_json::{Value, json};

use faults::{FAULTS, foreign_pair, mode, replace_pair};

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

/// W07: what `watch` looks at is what Prometheus hears of.
fn told_as_a_metric(well: &Well, id: &str) -> bool {
    well.ops(&["watch"]);
    // what no disk took is on this host
    let dir = well.deployment.dir().display().to_string();
    for entry in std::fs::read_dir("/run/agnes/alerts").into_iter().flatten() {
        let path = entry.unwrap().path();
        if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&dir)) {
            std::fs::remove_file(path).unwrap();
        }
    }
    let page = std::fs::read_to_string(well.state("ops/metrics/agnes_ops.prom"));
    page.unwrap_or_default().contains(&format!("{{id=\"{id}\""))
}

#[test]
fn w04_the_first_finding_is_the_fault_itself() {
    let seed = usize::try_from(agnes_e2e::components::seed()).unwrap();
    let whole = agnes_e2e::components::is_soak();
    println!("seed {seed}: {} faults", FAULTS.len());
    let others = crate::monitoring::told::by_others();
    let mut wrong = Vec::new();
    for (number, (id, fault)) in FAULTS.iter().enumerate() {
        // three of five, others at each run
        if !whole && (number + seed) % 5 > 2 {
            continue;
        }
        let well = Well::new();
        fault(&well);
        // first: doctor proves a snapshot by opening it
        let told = told_as_a_metric(&well, id);
        if told == others.contains(*id) {
            wrong.push(format!("{number} {id}: is a metric of watch: {told}"));
        }
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

//! `up`, `down`, `status` for runtime "process", and the main job end to end: a request made on the host, signed by a
//! CA, published at an https URL, and seen by a TLS client.

use std::net::SocketAddr;

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::deployment::{DOMAIN, Deployment};
use agnes_e2e::handshake::{accepted_by_strict_client, served_leaf};
use agnes_e2e::https_source::{Answer, CURRENT, Ca, HttpsSource};
use agnes_e2e::ports;

/// A deployment of runtime "process" that is stopped when dropped.
struct Process {
    deployment: Deployment,
    address: SocketAddr,
}

impl Process {
    fn new() -> Self {
        let address = ports::free_address();
        let deployment = Deployment::new()
            .with("AGNES_RUNTIME", "process")
            .with("AGNES_LISTEN", ports::free_address().to_string())
            .with("AGNES_TLS_LISTEN", address.to_string())
            .with("TLS_SERVED_ADDRESS", address.to_string());
        Self {
            deployment,
            address,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

#[test]
fn the_main_job_from_request_to_tls_client() {
    let mut process = Process::new();
    // the host makes its key and request, and serves a bridge
    let ran = process
        .deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("proof"), "served");
    assert_eq!(ran.detail("cert.source"), "self-signed");
    let bridge = served_leaf(process.address).unwrap();
    assert_eq!(ran.detail("served.sha256"), bridge.as_str());
    process
        .deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("unchanged");
    // the CA signs, and publishes at an https URL of its own
    let web = Ca::new("Example Web CA");
    let source = HttpsSource::start(&web.server(&["localhost"], CURRENT));
    let bundle = process.deployment.dir().join("roots.pem");
    std::fs::write(&bundle, web.pem()).unwrap();
    process
        .deployment
        .set("TLS_CA_BUNDLE", bundle.to_str().unwrap());
    process
        .deployment
        .set("TLS_FULLCHAIN_URL", source.url("/fullchain.pem"));
    source.answer(Answer::status(404));
    let waiting = process
        .deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(waiting.detail("fetch.reason"), "not-published");
    let root = Authority::root("Example Root");
    let issuing = root.intermediate("Example Issuing CA");
    let chain = issuing.answer(&process.deployment.request(), &Leaf::new(DOMAIN));
    source.answer(Answer::Body {
        bytes: chain.clone().into_bytes(),
        etag: Some("\"one\"".into()),
    });
    // the operator polls, and a TLS client sees it
    let ran = process
        .deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("reload.by"), "signal");
    let expected = leaf_sha256(chain.as_bytes());
    assert_eq!(served_leaf(process.address).unwrap(), expected);
    accepted_by_strict_client(process.address, &root.pem()).unwrap();
    // t16: the next poll is conditional, and costs nothing
    let before = process.deployment.certs_snapshot();
    let ran = process
        .deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(ran.detail("fetch.not_modified"), true);
    let asked = source
        .requests()
        .last()
        .unwrap()
        .header("if-none-match")
        .map(str::to_owned);
    assert_eq!(asked.as_deref(), Some("\"one\""));
    assert_eq!(process.deployment.certs_snapshot(), before);
    process.deployment.ops(&["tls", "check"]).exits(0);
    // `.env` was written anew above, without what `up` had added
    process.deployment.ops(&["secrets", "ensure"]).exits(0);
    let status = process.deployment.ops(&["status"]).exits(0);
    assert_eq!(status.detail("next"), "nothing");
}

#[test]
fn up_starts_again_what_was_killed_and_down_stops_what_runs() {
    let process = Process::new();
    let ran = process
        .deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("changed");
    let pid = ran.detail("server.pid").as_i64().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let status = process.deployment.ops(&["status"]).exits(10);
    assert!(
        status.detail("next").as_str().unwrap().ends_with(" up"),
        "{}",
        status.stdout
    );
    let ran = process
        .deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("changed");
    assert_ne!(ran.detail("server.pid").as_i64().unwrap(), pid);
    process
        .deployment
        .ops(&["down"])
        .exits(0)
        .with_outcome("changed");
    assert!(served_leaf(process.address).is_err());
    process
        .deployment
        .ops(&["down"])
        .exits(0)
        .with_outcome("unchanged");
}

#[test]
fn a_changed_listener_restarts_the_server() {
    let mut process = Process::new();
    process.deployment.ops(&["up"]).exits(0);
    let address = ports::free_address();
    process
        .deployment
        .set("AGNES_TLS_LISTEN", address.to_string());
    process
        .deployment
        .set("TLS_SERVED_ADDRESS", address.to_string());
    let ran = process
        .deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("proof"), "served");
    served_leaf(address).unwrap();
    assert!(served_leaf(process.address).is_err());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let process = Process::new();
    let _taken = std::net::TcpListener::bind(process.address).unwrap();
    let ran = process.deployment.ops(&["up"]).exits(1);
    assert!(
        ran.stderr.contains(&process.address.to_string()),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("taken by another process"),
        "{}",
        ran.stderr
    );
}

#[test]
fn up_is_refused_for_runtime_compose_and_touches_nothing() {
    let deployment = Deployment::new();
    let ran = deployment.ops(&["up"]).exits(78);
    assert_eq!(ran.detail("reason"), "runtime-compose");
    assert!(!deployment.state().exists());
}

#[test]
fn a_new_host_gets_its_secrets_and_one_that_cannot_have_them_gets_no_server() {
    let process = Process::new();
    let ops = |verb: &[&str]| process.deployment.ops(verb);
    let planned = ops(&["up", "--dry-run"]).exits(0);
    assert!(
        planned.stdout.contains("JWT_SECRET_KEY"),
        "{}",
        planned.stdout
    );
    ops(&["up"]).exits(0);
    ops(&["secrets", "check"]).exits(0);
    let rotated = ops(&["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(
        rotated.detail("proof.state"),
        "proven",
        "{}",
        rotated.stdout
    );
    assert_eq!(rotated.detail("told"), "control-socket");
    ops(&["up"]).exits(0).with_outcome("unchanged");
    ops(&["down"]).exits(0);

    let kept = process.deployment.state().join("secrets/SESSION_SECRET");
    std::fs::write(kept.join("1"), "").unwrap();
    let env = process.deployment.dir().join(".env");
    let text = std::fs::read_to_string(&env).unwrap();
    let without = text
        .lines()
        .filter(|line| !line.starts_with("SESSION_SECRET="));
    std::fs::write(&env, without.collect::<Vec<_>>().join("\n")).unwrap();
    let refused = ops(&["up"]).exits(1);
    assert_eq!(refused.detail("reason"), "durable-copy-damaged");
    assert!(
        refused.stderr.contains("agnesd was left as it is"),
        "{}",
        refused.stderr
    );
    assert!(!process.deployment.state().join("agnesd.pid").exists());
}

#[test]
fn a_server_whose_pid_file_is_gone_is_stopped_all_the_same() {
    let deployment = Deployment::process(ports::free_address());
    deployment.ops(&["up"]).exits(0);
    std::fs::remove_file(deployment.state().join("agnesd.pid")).unwrap();
    deployment.ops(&["down"]).exits(0).with_outcome("changed");
    deployment.ops(&["down"]).exits(0).with_outcome("unchanged");
}

//! T15: rotations under load. `agnesd` loses nothing; what Caddy loses is measured and reported.
//!
//! `AGNES_SOAK=1` makes all hundred rotations; otherwise a sample, drawn by the printed seed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::caddy::{Admin, Caddy, Site, Version};
use agnes_e2e::clients::{Clients, Failure, Question, Tally, ask};
use agnes_e2e::components::is_soak;
use agnes_e2e::deployment::{DOMAIN, Deployment};
use agnes_e2e::handshake::served_leaf;
use agnes_e2e::process::Daemon;
use agnes_e2e::{components, ports};

/// New-connection clients at once.
const CLIENTS: usize = 8;

/// A root, and two CAs below it that take turns, so that successive chains differ in every block.
struct Issuers {
    root: Authority,
    issuing: [Authority; 2],
}

impl Issuers {
    fn new() -> Self {
        let root = Authority::root("Example Root");
        let issuing =
            ["Example Issuing CA 1", "Example Issuing CA 2"].map(|name| root.intermediate(name));
        Self { root, issuing }
    }

    /// Publishes the chain for the deployment's request, and returns its leaf's hash.
    fn publish(&self, deployment: &Deployment, turn: usize) -> String {
        let days = 60 + i64::try_from(turn).unwrap();
        let leaf = Leaf::new(DOMAIN).days(-1, days);
        let chain = self.issuing[turn % 2].answer(&deployment.request(), &leaf);
        deployment.publish(&chain);
        leaf_sha256(chain.as_bytes())
    }
}

/// What the seed decides of one rotation.
struct Turn {
    /// The certificate comes with a key of its own.
    new_key: bool,
    /// Load on one pair before it.
    pause: Duration,
}

fn turns() -> Vec<Turn> {
    let whole = is_soak();
    let seed = components::seed();
    let count = if whole { 100 } else { 12 };
    println!("{count} rotations, AGNES_TEST_SEED={seed}");
    let mut state = seed;
    let mut draw = move || {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..count)
        .map(|_| Turn {
            new_key: draw() % 4 == 0,
            pause: Duration::from_millis(draw() % 200),
        })
        .collect()
}

/// A deployment with a certificate of the CA installed, before anything serves it.
fn signed() -> (Deployment, Issuers) {
    let deployment = Deployment::polling();
    deployment.ops(&["tls", "rotate"]).exits(0);
    let issuers = Issuers::new();
    issuers.publish(&deployment, 0);
    let ran = deployment.ops(&["tls", "rotate"]).exits(0);
    assert_eq!(ran.detail("cert.source"), "ca");
    (deployment, issuers)
}

/// Rotates turn by turn while the clients ask; every rotation must end proven, seen from outside.
fn rotate_under_load(
    deployment: &Deployment,
    issuers: &Issuers,
    address: SocketAddr,
    clients: &Clients,
) -> Vec<u64> {
    let mut took_ms = Vec::new();
    for (number, turn) in turns().iter().enumerate() {
        // the pair before must be under load when the next one comes
        let answered = clients.answered();
        let waiting = Instant::now();
        std::thread::sleep(turn.pause);
        while clients.answered() < answered + CLIENTS {
            assert!(
                waiting.elapsed() < Duration::from_secs(20),
                "nobody is answered"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        if turn.new_key {
            deployment.ops(&["tls", "csr", "--new-key"]).exits(0);
        }
        let expected = issuers.publish(deployment, number + 1);
        let ran = deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
        assert_eq!(ran.detail("proof"), "served", "{}", ran.stdout);
        assert_eq!(served_leaf(address).unwrap(), expected);
        took_ms.push(ran.detail("reload.took_ms").as_u64().expect("took_ms"));
    }
    took_ms
}

/// The lines that `cargo xtask soak` collects.
fn report(server: &str, took_ms: &[u64], tally: &Tally) {
    let mut sorted = took_ms.to_vec();
    sorted.sort_unstable();
    let rotations = sorted.len();
    let requests = tally.requests();
    println!(
        "FIGURE {server}-rotations {rotations} rotations under {CLIENTS} new-connection clients"
    );
    println!("FIGURE {server}-requests {requests} requests each on a new TLS connection");
    println!(
        "FIGURE {server}-failed {} requests without an answer",
        tally.failed()
    );
    println!(
        "FIGURE {server}-failed-per-rotation {:.1} of them for each rotation",
        tally.failed() as f64 / rotations as f64
    );
    println!(
        "FIGURE {server}-swap-proven-median {} ms from the flip to the proof, under load, debug build",
        sorted[rotations / 2]
    );
    println!(
        "FIGURE {server}-swap-proven-max {} ms the slowest",
        sorted[rotations - 1]
    );
    for (failure, count) in &tally.failures {
        println!("{server}: {count} × {failure:?}");
    }
}

#[test]
fn t15_rotations_of_agnesds_own_tls_under_load_lose_no_request() {
    let (mut deployment, issuers) = signed();
    let (plain, address) = (ports::free_address(), ports::free_address());
    deployment.set("AGNES_RUNTIME", "process");
    deployment.set("AGNES_LISTEN", plain.to_string());
    deployment.set("AGNES_TLS_LISTEN", address.to_string());
    deployment.set("TLS_SERVED_ADDRESS", address.to_string());
    let mut server = Daemon::spawn(&mut deployment.server_command()).unwrap();
    server
        .wait_listening(address, Duration::from_secs(20))
        .unwrap();
    let question = Question {
        address,
        root_pem: issuers.root.pem(),
        path: "/api/health",
        body: r#"{"status":"ok"}"#,
    };
    ask(&question).unwrap();
    let clients = Clients::start(CLIENTS, &question);
    let took_ms = rotate_under_load(&deployment, &issuers, address, &clients);
    let tally = clients.finish();
    report("agnesd", &took_ms, &tally);
    assert_eq!(
        tally.failures,
        [].into(),
        "of {} requests",
        tally.requests()
    );
    assert!(server.is_running().unwrap());
}

#[test]
fn t15_what_caddy_loses_during_rotations_under_load_is_measured() {
    let (mut deployment, issuers) = signed();
    let certs = deployment.certs();
    let (fullchain, privkey) = (certs.join("fullchain.pem"), certs.join("privkey.pem"));
    let site = Site {
        domain: DOMAIN,
        fullchain: &fullchain,
        privkey: &privkey,
    };
    let Some(caddy) = Caddy::start(Version::V2_11, Admin::Off, site).unwrap() else {
        return;
    };
    let address = caddy.address;
    deployment.set("TLS_SERVED_ADDRESS", address.to_string());
    let way = format!(
        "[[tls.reload]]\nkind = \"signal\"\npid_file = \"{}\"\n",
        caddy.pid_file().display()
    );
    let deployment = deployment.toml(&way);
    let question = Question {
        address,
        root_pem: issuers.root.pem(),
        path: "/",
        body: "ok",
    };
    ask(&question).unwrap();
    let clients = Clients::start(CLIENTS, &question);
    let took_ms = rotate_under_load(&deployment, &issuers, address, &clients);
    let tally = clients.finish();
    report("caddy-2.11", &took_ms, &tally);
    // What is lost is Caddy's; a refusal would mean that it stopped listening.
    assert_eq!(tally.failures.get(&Failure::Refused), None);
    ask(&question).unwrap();
}

#[test]
fn t15_the_clients_tell_a_lost_request_from_a_refused_one() {
    let question = |address| Question {
        address,
        root_pem: Authority::root("Example Root").pem(),
        path: "/",
        body: "ok",
    };
    let nobody = ports::free_address();
    assert_eq!(ask(&question(nobody)), Err(Failure::Refused));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let closer = std::thread::spawn(move || drop(listener.accept()));
    let lost = ask(&question(address)).unwrap_err();
    assert!(matches!(lost, Failure::Lost(_)), "{lost:?}");
    closer.join().unwrap();
    // and they count every failure
    let clients = Clients::start(2, &question(nobody));
    std::thread::sleep(Duration::from_millis(200));
    let tally = clients.finish();
    assert_eq!(tally.answered, 0);
    assert!(tally.failures[&Failure::Refused] >= 2, "{tally:?}");
}

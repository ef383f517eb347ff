//! T09: a rotation is killed between any two of its effects; the next run leaves a good state, and no reader ever saw
//! a mixed one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::components::{is_soak, seed};
use agnes_e2e::deployment::{DOMAIN, Deployment, run};

/// Kills the run of a command at its n-th checkpoint; `None`: it has fewer.
pub(crate) fn killed_at(deployment: &Deployment, verb: &[&str], number: u64) -> Option<()> {
    let mut command = deployment.command(verb);
    command.env("AGNES_STOP_AT", number.to_string());
    match run(command).code {
        137 => Some(()),
        0 => None,
        other => panic!("checkpoint {number}: exit {other}"),
    }
}

/// How many checkpoints a run of a command passes.
pub(crate) fn checkpoints(deployment: &Deployment, verb: &[&str]) -> u64 {
    let trace = deployment.dir().join("checkpoints");
    let mut command = deployment.command(verb);
    command.env("AGNES_CHECKPOINTS", &trace);
    run(command).exits(0);
    let count = std::fs::read_to_string(&trace).unwrap().lines().count();
    std::fs::remove_file(trace).unwrap();
    u64::try_from(count).unwrap()
}

/// All checkpoints in a soak; else a seeded sample of them.
pub(crate) fn chosen(count: u64) -> Vec<u64> {
    if is_soak() {
        return (1..=count).collect();
    }
    let seed = seed();
    println!("seed {seed}: every fourth of {count} checkpoints");
    (1..=count)
        .filter(|number| (number + seed).is_multiple_of(4))
        .collect()
}

/// Reads the pair as `agnesd` does: `current` once, both files relative to what it names.
fn read_through_current(certs: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let generation = certs.join(std::fs::read_link(certs.join("current")).ok()?);
    let key = std::fs::read(generation.join("privkey.pem"));
    let chain = std::fs::read(generation.join("fullchain.pem"));
    match (key, chain) {
        (Ok(key), Ok(chain)) => Some((key, chain)),
        // two flips between readlink and read: the generation is gone, not mixed
        _ => None,
    }
}

fn belong_together(key: &[u8], chain: &[u8]) -> bool {
    let key = openssl::pkey::PKey::private_key_from_pem(key).unwrap();
    let leaf = openssl::x509::X509::from_pem(chain).unwrap();
    leaf.public_key().unwrap().public_eq(&key)
}

/// The documented paths are a pair that a server would start on.
#[track_caller]
fn assert_good(deployment: &Deployment, at: &str) -> String {
    let certs = deployment.certs();
    let key = std::fs::read(certs.join("privkey.pem"))
        .unwrap_or_else(|error| panic!("{at}: privkey.pem: {error}"));
    let chain = std::fs::read(certs.join("fullchain.pem"))
        .unwrap_or_else(|error| panic!("{at}: fullchain.pem: {error}"));
    assert!(belong_together(&key, &chain), "{at}: a mixed pair");
    leaf_sha256(&chain)
}

/// A fresh deployment with this on disk and that published.
type Scene = fn() -> (Deployment, String);

/// Nothing there; a bridge is due.
fn first_run() -> (Deployment, String) {
    let deployment = Deployment::new();
    (deployment.polls_itself(), String::new())
}

/// A bridge there; the CA has answered.
fn first_answer() -> (Deployment, String) {
    let (deployment, _) = first_run();
    deployment.ops(&["tls", "rotate"]).exits(0);
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN));
    deployment.publish(&chain);
    (deployment, leaf_sha256(chain.as_bytes()))
}

/// A CA certificate and the one before it there; the CA has renewed over a new key.
fn renewal_over_a_new_key() -> (Deployment, String) {
    let (deployment, authority, _) = crate::rotate::with_ca_certificate(60);
    deployment.ops(&["tls", "csr", "--new-key"]).exits(0);
    let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(0, 80));
    deployment.publish(&chain);
    (deployment, leaf_sha256(chain.as_bytes()))
}

/// Files of a shell script there; they are adopted, and a renewal is installed.
fn adoption() -> (Deployment, String) {
    let (deployment, _) = first_run();
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let key = agnes_e2e::authority::ec_key();
    let public = agnes_e2e::authority::public(&key);
    let subject = agnes_e2e::authority::common_name(DOMAIN);
    let sign = |from, to| {
        authority.chain(&authority.sign_key(&public, &subject, &Leaf::new(DOMAIN).days(from, to)))
    };
    std::fs::create_dir_all(deployment.certs()).unwrap();
    std::fs::write(
        deployment.certs().join("privkey.pem"),
        agnes_e2e::authority::key_pem(&key),
    )
    .unwrap();
    std::fs::write(deployment.certs().join("fullchain.pem"), sign(-10, 20)).unwrap();
    let renewed = sign(-1, 89);
    deployment.publish(&renewed);
    (deployment, leaf_sha256(renewed.as_bytes()))
}

fn killed_everywhere(name: &str, scene: Scene, always_served: bool) {
    let count = checkpoints(&scene().0, &["tls", "rotate"]);
    assert!(count > 20, "{name}: {count} checkpoints");
    let chosen = chosen(count);
    for number in &chosen {
        let (deployment, expected) = scene();
        let before = always_served.then(|| assert_good(&deployment, "before"));
        if killed_at(&deployment, &["tls", "rotate"], *number).is_none() {
            continue;
        }
        let at = format!("{name}, killed at checkpoint {number}");
        if let Some(before) = before {
            // between the kill and the next run the proxy may restart: it must find the old or the new pair
            let found = assert_good(&deployment, &at);
            assert!(
                found == before || found == expected,
                "{at}: neither the old nor the new pair"
            );
        }
        let next = deployment.ops(&["tls", "rotate"]);
        assert_eq!(next.code, 0, "{at}: {}", next.stderr);
        let found = assert_good(&deployment, &at);
        if !expected.is_empty() {
            assert_eq!(found, expected, "{at}");
        }
        let last = deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("unchanged");
        assert!(last.detail("reason").is_null(), "{at}");
        let leftovers: Vec<_> = agnes_e2e::deployment::snapshot(&deployment.state())
            .into_keys()
            .filter(|path| {
                path.to_string_lossy().contains("agnes-tmp")
                    || path.ends_with("journal/tls-rotate.json")
            })
            .collect();
        assert!(leftovers.is_empty(), "{at}: {leftovers:?}");
    }
    println!(
        "FIGURE crash-points-{name} {} kills of {count} checkpoints, all recovered",
        chosen.len()
    );
}

#[test]
fn t09_killed_at_every_checkpoint_of_the_first_run() {
    killed_everywhere("first-run", first_run, false);
}

#[test]
fn t09_killed_at_every_checkpoint_of_the_first_answer() {
    killed_everywhere("first-answer", first_answer, true);
}

#[test]
fn t09_killed_at_every_checkpoint_of_a_renewal_over_a_new_key() {
    killed_everywhere("renewal", renewal_over_a_new_key, true);
}

#[test]
fn t09_killed_at_every_checkpoint_of_an_adoption() {
    killed_everywhere("adoption", adoption, true);
}

#[test]
fn t09_a_reader_that_opens_current_once_never_sees_a_mixed_pair() {
    let (deployment, authority, _) = crate::rotate::with_ca_certificate(60);
    let certs = deployment.certs();
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if let Some((key, chain)) = read_through_current(&certs) {
                    assert!(belong_together(&key, &chain), "a mixed pair");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for days in 61..73 {
            // every second one over a new key, so that a mix would show
            if days % 2 == 0 {
                deployment.ops(&["tls", "csr", "--new-key"]).exits(0);
            }
            deployment
                .publish(authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(0, days)));
            deployment
                .ops(&["tls", "rotate"])
                .exits(0)
                .with_outcome("changed");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 100, "{reads:?} reads");
}

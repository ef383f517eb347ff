//! The served certificate: what is read, what is swapped, what is refused.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use rustls::version::{TLS12, TLS13};

use crate::pki::{Pair, Pki};
use crate::server::{Place, Server, answer, ask, handshake, leaf_of};

const GET: &str = "GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn with_pair() -> (Place, Pki, Pair) {
    let (place, pki) = (Place::new(), Pki::new());
    let pair = pki.pair();
    place.install(1, &pair);
    (place, pki, pair)
}

fn reload(server: &mut Server, nth: usize) -> String {
    server.signal(Signal::SIGUSR1);
    server.until_logged_times("SIGUSR1: certificate", nth)
}

#[test]
fn the_served_leaf_is_the_one_on_disk_in_every_protocol() {
    let (place, pki, pair) = with_pair();
    let server = place.start_tls();
    for versions in [&[&TLS12], &[&TLS13]] {
        for alpn in [&[][..], &["http/1.1"], &["h2"], &["h2", "http/1.1"]] {
            let stream = server.tls(&pki.client_of(versions, alpn));
            assert_eq!(leaf_of(&stream), pair.sha256);
            assert_eq!(
                stream.conn.alpn_protocol(),
                alpn.first().map(|p| p.as_bytes())
            );
        }
    }
    assert_eq!(
        ask(&mut server.tls(&pki.client()), GET).unwrap().status,
        200
    );
    assert!(
        server.log().contains(&pair.sha256),
        "the log names the leaf:\n{}",
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken() {
    let (place, pki, _) = with_pair();
    let server = place.start_tls();
    let root = reqwest::Certificate::from_pem(pki.root_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();
    let url = format!(
        "https://localhost:{}/api/health",
        server.https.unwrap().port()
    );
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(
        (answer.version(), answer.status().as_u16()),
        (reqwest::Version::HTTP_2, 200)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_level_lets_a_credential_into_the_log() {
    let (place, pki, _) = with_pair();
    let mut server = place.start_with(|c| {
        c.env("AGNES_TLS_LISTEN", "127.0.0.1:0")
            .env("LOG_LEVEL", "trace,h2=trace,h2::codec=trace");
    });
    let root = reqwest::Certificate::from_pem(pki.root_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();
    let url = format!(
        "https://localhost:{}/api/health?token=s3cret",
        server.https.unwrap().port()
    );
    assert_eq!(
        client
            .get(url)
            .bearer_auth("s3cret")
            .send()
            .await
            .unwrap()
            .status()
            .as_u16(),
        200
    );
    let plain =
        "GET /nothing?token=s3cret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n\r\n";
    assert_eq!(ask(&mut server.connect(), plain).unwrap().status, 404);
    drop(client);
    assert_eq!(server.stop(), 0);
    for word in ["s3cret", " h2::", "FramedRead"] {
        assert!(!server.log().contains(word), "{word}: {}", server.log());
    }
}

#[test]
fn t15_swaps_under_eight_clients_lose_no_request() {
    let (place, pki, first) = with_pair();
    let server = place.start_tls();
    let (done, requests, longest) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let address = server.https.unwrap();
    let failures = std::thread::scope(|scope| {
        let client = || {
            let trust = pki.client();
            let mut failures = Vec::new();
            while !done.load(Ordering::Relaxed) {
                match handshake(address, &trust).and_then(|mut stream| ask(&mut stream, GET)) {
                    Ok(answer) if answer.status == 200 => {}
                    other => failures.push(format!("{other:?}")),
                }
                requests.fetch_add(1, Ordering::Relaxed);
            }
            failures
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        let mut last = first.sha256.clone();
        for n in 2..=16 {
            let pair = pki.pair();
            place.install(n, &pair);
            let began = Instant::now();
            server.signal(Signal::SIGUSR1);
            while server.served(&pki.client()) == last {
                assert!(
                    began.elapsed() < Duration::from_secs(10),
                    "generation {n} is not served:\n{}",
                    server.log()
                );
            }
            longest.fetch_max(
                usize::try_from(began.elapsed().as_millis()).unwrap(),
                Ordering::Relaxed,
            );
            assert_eq!(server.served(&pki.client()), pair.sha256);
            last = pair.sha256;
            // every generation is met by some requests, also on a machine that is busy with other things
            while requests.load(Ordering::Relaxed) < 8 * (n as usize - 1) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        done.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|c| c.join().unwrap())
            .collect::<Vec<_>>()
    });
    let (requests, longest) = (requests.into_inner(), longest.into_inner());
    eprintln!(
        "15 swaps, 8 clients: {requests} requests, {} failed, slowest swap {longest} ms",
        failures.len()
    );
    assert!(
        requests >= 8 * 15,
        "too few requests to mean anything: {requests}"
    );
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_request_in_flight_survives_the_swap_and_new_connections_see_the_new_leaf() {
    let (place, pki, first) = with_pair();
    let mut server = place.start_tls();
    let mut old = server.tls(&pki.client());
    assert_eq!(
        ask(&mut old, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
            .status,
        200
    );
    std::io::Write::write_all(&mut old, b"GET /api/health HTTP/1.1\r\nHost: x\r\n").unwrap();

    let second = pki.pair();
    place.install(2, &second);
    assert!(reload(&mut server, 1).contains(&second.sha256));

    assert_eq!(ask(&mut old, "\r\n").unwrap().status, 200);
    assert_eq!(leaf_of(&old), first.sha256);
    assert_eq!(server.served(&pki.client()), second.sha256);
}

#[test]
fn a_client_that_resumes_sessions_is_shown_the_new_leaf_after_a_swap() {
    for versions in [&[&TLS12], &[&TLS13]] {
        let (place, pki, _) = with_pair();
        let mut server = place.start_tls();
        let remembering = pki.client_of(versions, &[]);
        for _ in 0..2 {
            assert_eq!(ask(&mut server.tls(&remembering), GET).unwrap().status, 200);
        }
        let second = pki.pair();
        place.install(2, &second);
        reload(&mut server, 1);
        assert_eq!(server.served(&remembering), second.sha256);
    }
}

#[test]
fn sighup_reloads_too() {
    let (place, pki, _) = with_pair();
    let mut server = place.start_tls();
    let second = pki.pair();
    place.install(2, &second);
    server.signal(Signal::SIGHUP);
    server.until_logged("SIGHUP: certificate taken up");
    assert_eq!(server.served(&pki.client()), second.sha256);
}

#[test]
fn t04_t06_a_refused_pair_keeps_the_one_in_use_and_says_why() {
    let (place, pki, first) = with_pair();
    let mut server = place.start_tls();
    let (good, other) = (pki.pair(), pki.pair());
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let begin = good.chain.find("-----BEGIN").unwrap();
    let (key, chain) = (good.key.as_str(), good.chain.as_str());
    let cases: Vec<(String, String, &str)> = vec![
        (
            other.key.clone(),
            chain.into(),
            "privkey.pem: does not belong to the leaf",
        ),
        (String::new(), chain.into(), "privkey.pem: is empty"),
        (key.into(), String::new(), "fullchain.pem: is empty"),
        (
            key.into(),
            "<html>Sign in</html>".into(),
            "fullchain.pem: holds no certificate",
        ),
        (
            "garbage".into(),
            chain.into(),
            "privkey.pem: holds no unencrypted private key",
        ),
        (
            key[..key.len() / 2].into(),
            chain.into(),
            "privkey.pem: holds a PEM block that is cut short",
        ),
        (
            key.into(),
            chain[begin..chain.len() - 40].into(),
            "fullchain.pem: holds a PEM block that is cut short",
        ),
        (
            key.into(),
            format!("{chain}{junk}"),
            "fullchain.pem: holds a CERTIFICATE block that does not parse",
        ),
        (
            key.into(),
            format!("{junk}{chain}"),
            "fullchain.pem: holds a CERTIFICATE block that does not parse",
        ),
        (
            key.into(),
            format!("{chain}{key}"),
            "fullchain.pem: holds a private key",
        ),
        (
            key.into(),
            chain.replace(" CERTIFICATE", " TRUSTED CERTIFICATE"),
            "holds a block that is not a certificate",
        ),
        (
            key.into(),
            pki.root_pem() + chain,
            "privkey.pem: does not belong to the leaf",
        ),
        (
            chain.into(),
            chain.into(),
            "privkey.pem: holds no unencrypted private key",
        ),
        (
            key.into(),
            "x".repeat(2 * 1024 * 1024),
            "fullchain.pem: is larger than 1 MiB",
        ),
    ];
    for (i, (key_file, chain_file, why)) in cases.iter().enumerate() {
        place.install_bytes(u32::try_from(i).unwrap() + 2, key_file, chain_file);
        let line = reload(&mut server, i + 1);
        assert!(
            line.contains("refused") && line.contains(why),
            "case {i}: wanted {why:?} in {line}"
        );
        assert!(
            line.contains(&first.sha256),
            "case {i}: names the leaf that stays: {line}"
        );
        assert_eq!(server.served(&pki.client()), first.sha256, "case {i}");
    }
    // key bytes never reach the log
    for line in key
        .lines()
        .filter(|l| l.len() > 20 && !l.starts_with("-----"))
    {
        assert!(!server.log().contains(line));
    }
    place.install(99, &good);
    assert!(reload(&mut server, cases.len() + 1).contains("taken up"));
    assert_eq!(server.served(&pki.client()), good.sha256);
}

#[test]
fn missing_files_and_odd_ones_keep_the_pair_in_use() {
    let (place, pki, first) = with_pair();
    let mut server = place.start_tls();
    let generation = place.certs().join("generations/1");

    fs::remove_file(generation.join("privkey.pem")).unwrap();
    assert!(reload(&mut server, 1).contains("privkey.pem: No such file"));
    nix::unistd::mkfifo(
        &generation.join("privkey.pem"),
        nix::sys::stat::Mode::S_IRUSR,
    )
    .unwrap();
    assert!(reload(&mut server, 2).contains("privkey.pem: is not a regular file"));
    fs::remove_dir_all(&generation).unwrap();
    assert!(
        reload(&mut server, 3).contains("certs/current: No such file"),
        "{}",
        server.log()
    );
    fs::remove_dir_all(place.certs()).unwrap();
    assert!(
        reload(&mut server, 4).contains("certs: No such file"),
        "{}",
        server.log()
    );
    assert_eq!(server.served(&pki.client()), first.sha256);
}

#[test]
fn t09_a_reader_of_current_never_sees_a_mixed_pair() {
    let (place, pki, first) = with_pair();
    place.install(2, &pki.pair());
    let mut server = place.start_tls();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (1..=2)
                .cycle()
                .take_while(|_| !done.load(Ordering::Relaxed))
            {
                place.flip(n);
            }
        });
        for n in 1..=200 {
            let line = reload(&mut server, n);
            if !line.contains("taken up") {
                done.store(true, Ordering::Relaxed);
                panic!("reload {n}: {line}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let log = server.log();
    let swaps: Vec<_> = log.lines().filter(|l| l.contains("taken up")).collect();
    let firsts = swaps.iter().filter(|l| l.contains(&first.sha256)).count();
    assert!(
        firsts > 0 && firsts < swaps.len(),
        "both generations were met: {firsts} of {}",
        swaps.len()
    );
}

#[test]
fn a_host_without_generations_is_served_from_its_regular_files() {
    let (place, pki) = (Place::new(), Pki::new());
    let (first, second) = (pki.pair(), pki.pair());
    fs::create_dir(place.certs()).unwrap();
    let write = |pair: &Pair| {
        fs::write(place.certs().join("privkey.pem"), &pair.key).unwrap();
        fs::write(place.certs().join("fullchain.pem"), &pair.chain).unwrap();
    };
    write(&first);
    let mut server = place.start_tls();
    assert_eq!(server.served(&pki.client()), first.sha256);
    write(&second);
    reload(&mut server, 1);
    assert_eq!(server.served(&pki.client()), second.sha256);
    // and adoption as a generation is taken up without a restart
    let third = pki.pair();
    place.install(1, &third);
    reload(&mut server, 2);
    assert_eq!(server.served(&pki.client()), third.sha256);
}

#[test]
fn with_tls_asked_for_and_no_sound_pair_nothing_starts() {
    let (place, pki) = (Place::new(), Pki::new());
    let start = |c: &mut std::process::Command| {
        c.env("AGNES_TLS_LISTEN", "127.0.0.1:0");
    };
    let check = |why: &str| {
        let (code, log) = place.refused(start);
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(why) && log.contains("nothing was started"),
            "{log}"
        );
        assert!(log.contains("hint: `agnes-ops tls rotate`"), "{log}");
        assert!(!log.contains("serving"), "{log}");
        assert!(!place.state().join("agnesd.pid").exists());
    };
    check("state/certs: No such file or directory");
    place.install_bytes(1, &pki.pair().key, &pki.pair().chain);
    check("certs/current/privkey.pem: does not belong to the leaf in fullchain.pem");
}

#[test]
fn t08_an_expired_or_ca_marked_leaf_is_served_with_a_warning() {
    let (place, pki) = (Place::new(), Pki::new());
    let expired =
        pki.pair_with(|p: &mut CertificateParams| p.not_after = date_time_ymd(2020, 1, 1));
    let ca = pki
        .pair_with(|p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    place.install(1, &expired);
    let mut server = place.start_tls();
    server.until_logged("the leaf is outside its validity");
    place.install(2, &ca);
    assert!(reload(&mut server, 1).contains("taken up"));
    server.until_logged("the leaf is marked as a CA");
}

#[test]
fn a_reload_without_tls_is_harmless() {
    let place = Place::new();
    let mut server = place.start();
    server.signal(Signal::SIGUSR1);
    server.until_logged("SIGUSR1: nothing to read again");
    assert_eq!(server.get("/api/health").status, 200);
}

#[test]
fn plain_bytes_on_the_tls_port_harm_nobody() {
    let (place, pki, _) = with_pair();
    let mut server = place.start_tls();
    let mut plain = crate::server::connect(server.https.unwrap()).unwrap();
    let _ = ask(&mut plain, GET);
    let strangers = Arc::clone(&Pki::new().client());
    assert!(
        handshake(server.https.unwrap(), &strangers).is_err(),
        "a client that does not trust the CA refuses"
    );
    let mut stream = server.tls(&pki.client());
    std::io::Write::write_all(&mut stream, GET.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 200);
    assert_eq!(server.stop(), 0);
    assert!(
        !server.log_since_serving().contains("ERROR")
            && !server.log_since_serving().contains("WARN"),
        "{}",
        server.log()
    );
}

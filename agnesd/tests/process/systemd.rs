//! What a service manager hears.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use crate::server::{PATIENCE, Place};

fn hear(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let n = socket.recv(&mut bytes).expect("a message in time");
    String::from_utf8_lossy(&bytes[..n])
        .lines()
        .map(str::to_owned)
        .collect()
}

fn has(message: &[String], line: &str) -> bool {
    message.iter().any(|l| l == line)
}

#[test]
fn ready_reloading_and_stopping_are_told_in_order() {
    let (place, pki) = (Place::new(), crate::pki::Pki::new());
    place.install(1, &pki.pair());
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut server = place.start_with(|c| {
        c.env("NOTIFY_SOCKET", &path)
            .env("AGNES_TLS_LISTEN", "127.0.0.1:0");
    });

    let ready = hear(&socket);
    assert!(has(&ready, "READY=1"), "{ready:?}");
    assert!(
        ready
            .iter()
            .any(|l| l.starts_with("STATUS=serving http://127.0.0.1:")),
        "{ready:?}"
    );

    let second = pki.pair();
    place.install(2, &second);
    server.signal(Signal::SIGUSR1);
    let reloading = hear(&socket);
    assert!(has(&reloading, "RELOADING=1"), "{reloading:?}");
    let stamp = reloading
        .iter()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="))
        .expect("a time stamp");
    assert!(stamp.parse::<u64>().unwrap() > 0);
    let again = hear(&socket);
    assert!(
        has(&again, "READY=1") && again.iter().any(|l| l.contains(&second.sha256)),
        "{again:?}"
    );

    place.install_bytes(3, "", "");
    server.signal(Signal::SIGUSR1);
    assert!(has(&hear(&socket), "RELOADING=1"));
    let refused = hear(&socket);
    assert!(
        has(&refused, "READY=1") && refused.iter().any(|l| l.contains("last reload refused")),
        "{refused:?}"
    );

    assert_eq!(server.stop(), 0);
    let stopping = hear(&socket);
    assert!(has(&stopping, "STOPPING=1"), "{stopping:?}");
}

#[test]
fn the_watchdog_is_fed_when_it_is_asked_for() {
    let place = Place::new();
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _server = place.start_with(|c| {
        c.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    assert!(has(&hear(&socket), "READY=1"));
    for _ in 0..3 {
        assert!(has(&hear(&socket), "WATCHDOG=1"));
    }
}

//! Free ports on loopback.
//!
//! Always true: a port that was handed out is not handed out again by this process.
//!
//! Does not: keep others from taking it between here and its use; nothing can, for a program that binds by number.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on 127.0.0.1 that nothing listens on.
///
/// # Panics
/// When no socket can be bound.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().expect("no panic while held");
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind to a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        if given.insert(port) {
            return port;
        }
    }
}

/// 127.0.0.1 with a port that nothing listens on.
///
/// # Panics
/// As [`free`].
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free()).into()
}

//! Names, addresses, ports and the clock.
//!
//! Always true: a resolver that cannot be reached is no proof that a name is not there; every address that a name has is asked.
//!
//! Does not: send anything but handshakes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use agnes_config::Settings;

use super::{Found, Patient, Seen};
use crate::served::{self, Served};
use crate::sha256::sha256;
use crate::{systemd, tls};

/// How long one address may take.
const ANSWERS: Duration = Duration::from_secs(5);
/// Where clients come.
const HTTPS: u16 = 443;
/// Ports that must never be open to others: the Docker engine's, and the proxy's administration.
const PRIVATE: [(u16, &str); 2] = [
    (2375, "the Docker engine without TLS"),
    (2019, "the proxy's administration"),
];
/// A socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";

pub(super) fn resolves(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    let mut found = Vec::new();
    let mut unchecked = String::new();
    for name in names(settings) {
        if is_reserved(&name) {
            unchecked = format!("{name} is a name for examples and tests (RFC 6761)");
            continue;
        }
        match addresses_of(&name) {
            Ok(_) => {}
            Err(Unresolved::NoAnswer(why)) => unchecked = format!("{name}: {why}"),
            Err(Unresolved::NoSuchName(why)) => found.push(Found {
                object: name,
                evidence: why,
                next: "set its A and AAAA records".to_owned(),
            }),
        }
    }
    match found.is_empty() && !unchecked.is_empty() {
        true => Seen::Unchecked(unchecked),
        false => Seen::of(found),
    }
}

/// Whether each address presents the certificate that is installed.
pub(super) fn addresses(patient: &Patient<'_>) -> Seen {
    let deployment = patient.deployment();
    let settings = deployment.settings;
    if !tls::is_wanted(settings) {
        return Seen::Unchecked("no certificate of ours is to be served".to_owned());
    }
    let Some(installed) = tls::installed_leaf(deployment) else {
        return Seen::Unchecked("no certificate is installed".to_owned());
    };
    let name = settings.tls.domain.as_str().to_owned();
    let Ok(all) = addresses_of(&name) else {
        return Seen::Unchecked(format!("{name} is not resolved"));
    };
    let mut found = Vec::new();
    let mut answered = false;
    for address in all {
        let at = SocketAddr::new(address, HTTPS).to_string();
        match served::look(&at, &name, ANSWERS) {
            // many a host does not reach itself from outside
            Served::Nothing | Served::Failed(_) => {}
            Served::Chain(chain) => {
                answered = true;
                let leaf = chain.first().map(|leaf| sha256(leaf));
                if leaf.as_ref() != Some(&installed) {
                    found.push(Found {
                        object: at,
                        evidence: "presents another certificate than the one that is installed here".to_owned(),
                        next: format!("does this address of {name} lead here? correct its record, or what stands before this host"),
                    });
                }
            }
        }
    }
    match answered {
        true => Seen::of(found),
        false => Seen::Unchecked(format!("no address of {name} is reached from here")),
    }
}

pub(super) fn exposed(patient: &Patient<'_>) -> Seen {
    let mut open = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match patient.host().read(table.as_ref()) {
            Ok(Some(text)) => open.extend(open_ports(&String::from_utf8_lossy(&text))),
            Ok(None) => {}
            Err(why) => return Seen::Unchecked(format!("{table}: {why}")),
        }
    }
    let found = PRIVATE.into_iter().filter(|(port, _)| open.contains(port));
    let found = found.map(|(port, what)| Found {
        object: format!("port {port}"),
        evidence: format!("{what} listens on an address that is not this host's alone"),
        next: format!("ss -ltnp 'sport = :{port}' says who; bind it to 127.0.0.1"),
    });
    Seen::of(found.collect())
}

pub(super) fn clock(patient: &Patient<'_>) -> Seen {
    if !systemd::is_running() {
        return Seen::Unchecked("systemd does not run here".to_owned());
    }
    let argv = [
        "timedatectl",
        "show",
        "--property=NTPSynchronized",
        "--value",
    ];
    match patient.host().run(&argv, None, ANSWERS) {
        Ok(ran) if ran.code == 0 && ran.stdout.trim() == "yes" => Seen::Passed,
        Ok(ran) if ran.code == 0 => Seen::found(
            "clock",
            "is not synchronized with anybody's",
            "timedatectl timesync-status; systemctl status systemd-timesyncd, or chronyc tracking",
        ),
        Ok(ran) => Seen::Unchecked(format!("timedatectl: {}", ran.last_line())),
        Err(error) => Seen::Unchecked(format!("timedatectl: {error}")),
    }
}

fn names(settings: &Settings) -> Vec<String> {
    let aliases = settings.tls.aliases.iter();
    let all = std::iter::once(&settings.tls.domain).chain(aliases);
    // a wildcard has no address of its own
    all.map(|name| name.as_str().to_owned())
        .filter(|name| !name.starts_with("*."))
        .collect()
}

/// Names that no public resolver has.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 7] = [
        "example.com",
        "example.net",
        "example.org",
        "example",
        "test",
        "invalid",
        "localhost",
    ];
    RESERVED.iter().any(|reserved| {
        let rest = name.strip_suffix(reserved);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

enum Unresolved {
    /// The resolver says so.
    NoSuchName(String),
    /// It could not be asked.
    NoAnswer(String),
}

fn addresses_of(name: &str) -> Result<BTreeSet<IpAddr>, Unresolved> {
    match (name, HTTPS).to_socket_addrs() {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => {
            let why = error.to_string();
            // of getaddrinfo(3): EAI_AGAIN, and not EAI_NONAME
            match why.contains("Temporary failure") {
                true => Err(Unresolved::NoAnswer(why)),
                false => Err(Unresolved::NoSuchName(why)),
            }
        }
    }
}

/// The ports that listen on an address that is not loopback.
fn open_ports(table: &str) -> BTreeSet<u16> {
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (local, state) = (words.nth(1)?, words.nth(1)?);
        let (address, port) = local.split_once(':')?;
        // written as 32-bit words of this machine's order
        let loopback = match address.len() {
            8 => address.ends_with("7F"),
            _ => {
                address == "00000000000000000000000001000000"
                    || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")
            }
        };
        (state == LISTENS && !loopback).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_examples_is_nobody_s() {
        for name in ["agnes.example.com", "localhost", "a.test"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["myexample.com", "example.com.agnes.dev", "latest"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn a_port_on_loopback_is_not_open() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 0100007F:07E3 00000000:0000 0A 0 0\n\
            1: 00000000:0947 00000000:0000 0A 0 0\n\
            2: 0B01A8C0:1F90 00000000:0000 0A 0 0\n\
            3: 0B01A8C0:0016 0101A8C0:D431 01 0 0\n\
            4: 00000000000000000000000001000000:0CEA 00000000000000000000000000000000:0000 0A 0 0\n\
            5: 0000000000000000FFFF00000100007F:0CEB 00000000000000000000000000000000:0000 0A 0 0\n\
            6: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0 0\n";
        assert_eq!(open_ports(table), BTreeSet::from([2375, 8080, 443]));
    }
}

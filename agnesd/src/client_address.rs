//! Who is at the other end: the connection, and behind trusted proxies the client's own address.
//!
//! Always true: `X-Forwarded-For` counts only as far as trusted proxies wrote it (A06): it is read from the right, and the
//! first address that is not a trusted proxy is the client, whatever stands left of it. An IPv4 address is one however it
//! is written.
//!
//! Does not: look at `Forwarded`, `X-Real-IP` or any other header.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What is known of a connection before its first byte is read. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The other end as the kernel names it: the client, or a proxy.
    pub(crate) peer: SocketAddr,
    /// This server ended the TLS itself.
    pub(crate) tls: bool,
    /// The leaf it showed was issued by somebody else: not a bridge that signed itself.
    pub(crate) ca_leaf: bool,
}

/// The client's address. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Whether the client's own connection is protected. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing protects it, as far as is known.
    Http,
    /// TLS, of ours or of a trusted proxy.
    Https,
}

/// Whose `X-Forwarded-For` is believed (`TRUSTED_PROXIES`).
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// An empty list: every peer is a client.
    pub(crate) fn new(nets: Vec<IpNet>) -> Self {
        Self(nets)
    }

    /// Whether `ip` is one of them.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// How the client came, as far as a trusted proxy says so.
    pub(crate) fn way(&self, connection: Connection, headers: &HeaderMap) -> Way {
        let said = headers.get(FORWARDED_PROTO);
        let https = said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"https"));
        match connection.tls || (https && self.trusts(connection.peer.ip())) {
            true => Way::Https,
            false => Way::Http,
        }
    }

    /// The address to count, log and limit by. What a proxy wrote and nobody can read ends the walk: then it is the last
    /// proxy that was trusted.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut known = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let from_the_right = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in from_the_right {
            if !self.trusts(known) {
                break;
            }
            let Some(ip) = parse(hop) else { break };
            known = ip;
        }
        ClientAddress(known)
    }
}

/// An address, with or without brackets and port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_ascii();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let ip: IpAddr = text.parse().ok().or_else(bare).or_else(with_port)?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&[u8]]) -> String {
        let trusted = TrustedProxies::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let ClientAddress(ip) = trusted.client(peer.parse().unwrap(), &headers);
        ip.to_string()
    }

    #[test]
    fn a06_a_client_sent_forwarded_for_is_not_believed() {
        for lines in [
            &[&b"198.51.100.9"[..]][..],
            &[b"127.0.0.1"],
            &[b"10.0.0.1, 10.0.0.2"],
        ] {
            assert_eq!(client(&[], "203.0.113.5", lines), "203.0.113.5");
            assert_eq!(client(&["10.0.0.0/8"], "203.0.113.5", lines), "203.0.113.5");
        }
    }

    #[test]
    fn a06_only_what_trusted_proxies_wrote_counts() {
        let trusted = &["10.0.0.0/8", "fd00::/8"];
        for (lines, want) in [
            (&[&b"198.51.100.9"[..]][..], "198.51.100.9"),
            // the client sent the first two itself
            (&[b"127.0.0.1, 10.9.9.9, 198.51.100.9"], "198.51.100.9"),
            (&[b"1.1.1.1, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            (&[b"198.51.100.9,10.0.0.2 ,\t10.0.0.3"], "198.51.100.9"),
            (&[b"1.1.1.1", b"198.51.100.9", b"10.0.0.2"], "198.51.100.9"),
            (&[b"198.51.100.9, 10.0.0.2", b"10.0.0.3"], "198.51.100.9"),
            // all of them trusted: the outermost
            (&[b"10.0.0.7, 10.0.0.8"], "10.0.0.7"),
            (&[b"198.51.100.9:4711"], "198.51.100.9"),
            (&[b"2001:db8::9, fd00::1"], "2001:db8::9"),
            (&[b"[2001:db8::9]:443"], "2001:db8::9"),
            (&[b"[2001:db8::9]"], "2001:db8::9"),
            (&[b"::ffff:198.51.100.9"], "198.51.100.9"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(trusted, "10.0.0.1", lines), want, "{lines:?}");
        }
    }

    #[test]
    fn a06_garbage_ends_the_walk_at_the_last_trusted_hop() {
        for (line, want) in [
            (&b""[..], "10.0.0.1"),
            (b"unknown", "10.0.0.1"),
            (b"198.51.100.9, \xff\xfe", "10.0.0.1"),
            (b"198.51.100.9, _hidden, 10.0.0.2", "10.0.0.2"),
            (b"198.51.100.9,, 10.0.0.2", "10.0.0.2"),
            (b"198.51.100.9,", "10.0.0.1"),
            (b"198.51.100.300", "10.0.0.1"),
            (b"[2001:db8::9", "10.0.0.1"),
        ] {
            assert_eq!(
                client(&["10.0.0.0/8"], "10.0.0.1", &[line]),
                want,
                "{line:?}"
            );
        }
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_an_ipv4_peer() {
        let lines: &[&[u8]] = &[b"198.51.100.9"];
        assert_eq!(
            client(&["10.0.0.0/8"], "::ffff:10.0.0.1", lines),
            "198.51.100.9"
        );
        assert_eq!(client(&[], "::ffff:203.0.113.5", lines), "203.0.113.5");
    }
}

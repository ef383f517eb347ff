//! What kind of address an address is.
//!
//! Always true: an IPv6 address that carries an IPv4 address is no better than what it carries; IPv6 outside 2000::/3 is
//! refused unless a rule here says otherwise, so that ranges IANA has yet to assign are refused too.
//!
//! Does not: know what the operator allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reason;

/// Credential services of the large clouds. Some have public addresses.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Why `ip` is not a public address of one host; `None` when it is one.
pub(super) fn refusal(ip: IpAddr) -> Option<Reason> {
    match ip {
        IpAddr::V4(ip) => refusal_v4(ip),
        IpAddr::V6(ip) => refusal_v6(ip),
    }
}

/// IANA's special-purpose registry, narrowest first.
fn refusal_v4(ip: Ipv4Addr) -> Option<Reason> {
    if METADATA_V4.contains(&ip) {
        return Some(Reason::Metadata);
    }
    Some(match ip.octets() {
        [255, 255, 255, 255] => Reason::Broadcast,
        [0, ..] => Reason::Unspecified,
        [127, ..] => Reason::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reason::Private,
        [100, 64..=127, ..] => Reason::SharedNat,
        [169, 254, ..] => Reason::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reason::Documentation,
        [198, 18..=19, ..] => Reason::Benchmark,
        // protocol assignments; the relays of 6to4
        [192, 0, 0, _] | [192, 88, 99, _] => Reason::Reserved,
        [224..=239, ..] => Reason::Multicast,
        [240..=255, ..] => Reason::Reserved,
        _ => return None,
    })
}

fn refusal_v6(ip: Ipv6Addr) -> Option<Reason> {
    if METADATA_V6.contains(&ip) {
        return Some(Reason::Metadata);
    }
    let carried = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        refusal_v4(Ipv4Addr::new(a, b, c, d))
    };
    let wrapped = |high, low| carried(high, low).unwrap_or(Reason::Transition);
    Some(match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reason::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reason::Loopback,
        // IPv4-mapped and the older IPv4-compatible form
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => wrapped(high, low),
        // IPv4-translated (SIIT)
        [0, 0, 0, 0, 0xffff, 0, high, low] => wrapped(high, low),
        // NAT64: how a network without IPv4 reaches public IPv4 hosts, so what it carries decides
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return carried(high, low),
        // NAT64 of one network's own choice: RFC 8215 puts the IPv4 address last, with a /96
        [0x64, 0xff9b, 1, _, _, _, high, low] => wrapped(high, low),
        // 6to4
        [0x2002, high, low, ..] => wrapped(high, low),
        // Teredo: the client's IPv4 address stands inverted at the end
        [0x2001, 0, _, _, _, _, high, low] => wrapped(!high, !low),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reason::Documentation,
        [0x2001, 2, 0, ..] => Reason::Benchmark,
        // the rest of the IETF's protocol assignments, 2001::/23
        [0x2001, 0..=0x1ff, ..] => Reason::Reserved,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reason::Private,
        [0xfe80..=0xfebf, ..] => Reason::LinkLocal,
        [0xff00..=0xffff, ..] => Reason::Multicast,
        [0x2000..=0x3fff, ..] => return None,
        _ => Reason::Reserved,
    })
}

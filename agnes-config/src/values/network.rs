//! Who may come from where: networks, origins, the metrics listener, e-mail addresses, image digests.
//!
//! Always true: networks have their host bits cleared and IPv4 is never written as IPv6, so that two notations of one
//! network compare equal; an origin is as a browser sends it.
//!
//! Does not: resolve names.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use url::Url;

use super::{Parsed, domain, listen, quoted, words};

/// Not on purpose, and then an address.
pub(crate) fn metrics(text: &str) -> Parsed<Option<SocketAddr>> {
    if text == "off" {
        return Ok(None);
    }
    listen(text).map(Some)
}

pub(crate) fn nets(text: &str) -> Parsed<Vec<IpNet>> {
    let mut nets = Vec::new();
    for word in words(text) {
        let net = net(word)?;
        if !nets.contains(&net) {
            nets.push(net);
        }
    }
    Ok(nets)
}

fn net(text: &str) -> Parsed<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("{} is no network", quoted(text)))?;
    Ok(canonical(net).trunc())
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: peers are compared in their IPv4 form.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(six) = net else { return net };
    let four = six.addr().to_ipv4_mapped();
    four.zip(six.prefix_len().checked_sub(96))
        .and_then(|(address, bits)| Ipv4Net::new(address, bits).ok())
        .map_or(net, IpNet::V4)
}

pub(crate) fn origins(text: &str) -> Parsed<Vec<String>> {
    let mut origins = Vec::new();
    for word in words(text) {
        let origin = origin(word)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}

pub(crate) fn origin(text: &str) -> Parsed<String> {
    if text.contains('*') {
        return Err(format!("{} is a wildcard", quoted(text)));
    }
    // No text of a URL that has a user is repeated: a password may follow.
    let shown = super::redacted_url(text);
    let (_, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("{} is no origin: it has no scheme", quoted(text)))?;
    let url = Url::parse(text).map_err(|error| format!("{shown} is no origin: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{shown} is neither https nor http"));
    }
    if rest.contains('@') {
        return Err("has a user in it".to_owned());
    }
    if rest.contains(['/', '\\', '?', '#']) {
        return Err(format!("{shown} has a path, a query or a fragment"));
    }
    Ok(url.origin().ascii_serialization())
}

/// Longest address and local part, RFC 5321 section 4.5.3.1.
const ADDRESS_MAX: usize = 254;
const LOCAL_MAX: usize = 64;

/// Plausible, not proven: only a mail that arrives proves an address.
pub(crate) fn email(text: &str) -> Parsed<String> {
    let wrong = || format!("{} is no e-mail address", quoted(text));
    let (local, host) = text.rsplit_once('@').ok_or_else(wrong)?;
    let atom = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b))
    };
    let sound = text.len() <= ADDRESS_MAX
        && local.len() <= LOCAL_MAX
        && local.split('.').all(atom)
        && !host.ends_with('.')
        && !host.starts_with('*');
    if !sound {
        return Err(wrong());
    }
    domain(host).map_err(|_| wrong())?;
    if text.eq_ignore_ascii_case(SCHEDULER) {
        return Err(format!("{SCHEDULER} is the scheduler's own"));
    }
    Ok(text.to_owned())
}

/// Nobody signs in as the user that the scheduler's token stands for.
const SCHEDULER: &str = "scheduler@system.local";

pub(crate) fn digest(text: &str) -> Parsed<String> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("{} is no digest of an image", quoted(text)))
}

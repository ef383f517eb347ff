//! Addresses that people configure: looked up, judged, and pinned before the server connects to them (SSRF).
//!
//! Always true: every address of a name is judged and one bad one refuses the URL; a client made here connects to the
//! addresses that were judged and to nothing else, whatever the name says a moment later; it follows no redirect and reads
//! no proxy from the environment.
//!
//! Does not: decide which settings hold URLs, send requests, repeat a URL or an address in a refusal.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::time::timeout;
use url::{Host, Url};

mod address;

/// How long a name may take; what cannot be looked up in this time is not there.
const LOOKUP: Duration = Duration::from_secs(5);

/// Names under which clouds serve credentials to whoever asks from inside. Refused before any lookup.
const METADATA_NAMES: [&str; 5] = [
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
];

/// Why a URL is not connected to. The words are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Neither http nor https.
    Scheme,
    /// Holds a user name or a password.
    Userinfo,
    /// No such name, no answer in time, or no address.
    Unresolvable,
    /// Serves credentials of the machine (169.254.169.254 and its like).
    Metadata,
    /// "This network", 0.0.0.0/8 and `::`.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918, and IPv6's unique and site local ranges.
    Private,
    /// Carrier-grade NAT, 100.64.0.0/10.
    SharedNat,
    /// 169.254.0.0/16 and fe80::/10.
    LinkLocal,
    /// Multicast.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// Documentation ranges.
    Documentation,
    /// Benchmark ranges.
    Benchmark,
    /// An IPv6 address that only wraps an IPv4 address, or leads through a tunnel or translator that is not public.
    Transition,
    /// Set aside by IANA for something else.
    Reserved,
}

impl Reason {
    /// The stable word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::Unresolvable => "unresolvable",
            Self::Metadata => "metadata",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::SharedNat => "shared-nat",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::Transition => "transition",
            Self::Reserved => "reserved",
        }
    }
}

/// A URL that is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Why.
    pub(crate) reason: Reason,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is refused: {}", self.reason.word())
    }
}

impl std::error::Error for Refused {}

/// Where the network begins: names to addresses.
pub(crate) trait Lookup: Send + Sync {
    /// Every address of `host`, each with `port`.
    fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The operating system's resolver: `/etc/hosts`, DNS, whatever the host has configured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The judge of configured URLs.
#[derive(Debug)]
pub(crate) struct Guard<L = SystemLookup> {
    allowed: Vec<IpNet>,
    lookup: L,
    patience: Duration,
}

impl Guard {
    /// `allowed_private_nets` (`ALLOWED_PRIVATE_NETS`): what may be connected to though it is not public. A metadata
    /// service is let through only by a network of that one address.
    pub(crate) fn new(allowed_private_nets: Vec<IpNet>) -> Self {
        Self::with_lookup(allowed_private_nets, SystemLookup)
    }
}

impl<L: Lookup> Guard<L> {
    fn with_lookup(allowed: Vec<IpNet>, lookup: L) -> Self {
        Self {
            allowed,
            lookup,
            patience: LOOKUP,
        }
    }

    /// Judges `url` and every address that it leads to now. At most 5 seconds.
    ///
    /// # Errors
    /// [`Refused`] with the first reason found.
    pub(crate) async fn vet(&self, url: &Url) -> Result<Vetted, Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Reason::Scheme.into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Reason::Userinfo.into());
        }
        let port = url.port_or_known_default().ok_or(Reason::Scheme)?;
        // decimal, octal and hexadecimal spellings of IPv4 arrive here as `Ipv4`: the parser is the browser's own
        let addresses = match url.host().ok_or(Reason::Unresolvable)? {
            Host::Ipv4(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Domain(name) => self.addresses_of(name, port).await?,
        };
        for address in &addresses {
            self.judge(address.ip())?;
        }
        Ok(Vetted {
            host: url.host_str().unwrap_or_default().to_owned(),
            addresses,
            tls: url.scheme() == "https",
        })
    }

    async fn addresses_of(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Refused> {
        if METADATA_NAMES.contains(&name.trim_end_matches('.')) {
            return Err(Reason::Metadata.into());
        }
        match timeout(self.patience, self.lookup.lookup(name, port)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            _ => Err(Reason::Unresolvable.into()),
        }
    }

    fn judge(&self, ip: IpAddr) -> Result<(), Refused> {
        let Some(reason) = address::refusal(ip) else {
            return Ok(());
        };
        // IPv4 written as IPv6 reaches the IPv4 host, so the operator who named that host meant it
        let host = ip.to_canonical();
        let named = self.allowed.iter().any(|net| match reason {
            Reason::Metadata => net.prefix_len() == net.max_prefix_len() && net.addr() == host,
            // nothing that listens is reached through these
            Reason::Unspecified | Reason::Multicast | Reason::Broadcast => false,
            _ => net.contains(&host),
        });
        if named { Ok(()) } else { Err(reason.into()) }
    }
}

/// A URL's host with the addresses that were judged.
#[derive(Debug, Clone)]
pub(crate) struct Vetted {
    host: String,
    addresses: Vec<SocketAddr>,
    tls: bool,
}

impl Vetted {
    /// A client for the URL that was judged: its host is the only name that it knows. `timeout` is for a whole request.
    ///
    /// # Errors
    /// When TLS cannot be set up: there are no root certificates.
    pub(crate) fn client(&self, timeout: Duration) -> reqwest::Result<reqwest::Client> {
        let builder = match self.tls {
            true => reqwest::Client::builder(),
            // no TLS is spoken: the host's roots are neither read nor missed
            false => reqwest::Client::builder().tls_certs_only([]),
        };
        builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(NoOtherName)
            .resolve_to_addrs(&self.host, &self.addresses)
            .timeout(timeout)
            .build()
    }
}

/// Knows no name, so that a client asked for another host than the judged one gets nowhere.
struct NoOtherName;

impl Resolve for NoOtherName {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::ready(Err(
            "only the host that was judged may be connected to".into(),
        )))
    }
}

#[cfg(test)]
mod tests;

//! One key and its chain: read as one generation, checked, made ready to serve.
//!
//! Always true: both files come from one directory that was opened once, so a flip of `certs/current` between the two reads
//! is not seen; every block of the chain parses; the key belongs to the leaf; our own buffers of key bytes are wiped (the
//! PEM parser's scratch space and the signer in use are not ours to wipe: no core dump holds them, see `process`).
//!
//! Does not: refuse an expired leaf or one marked as a CA: an adopted host may serve one today, and no server at all helps
//! nobody. Both are logged as warnings.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::Refused;

/// Neither file is anywhere near this; a larger one is not what it claims to be.
const MAX_BYTES: u64 = 1024 * 1024;
const KEY: &str = "privkey.pem";
const CHAIN: &str = "fullchain.pem";

/// What operators compare: the served leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// SHA-256 of the DER, lower-case hex.
    pub(crate) sha256: String,
    /// End of validity, RFC 3339 UTC.
    pub(crate) not_after: String,
    /// What is wrong with it and served nevertheless.
    pub(crate) warnings: Vec<&'static str>,
    /// Issued by somebody else: not a bridge that signed itself.
    pub(crate) ca_issued: bool,
}

/// A checked pair, ready to serve.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) leaf: Leaf,
}

/// Reads and checks the pair of the current generation under `certs_dir`.
pub(crate) fn load(certs_dir: &Path) -> Result<Pair, Refused> {
    let generation = Generation::open(certs_dir)?;
    let key = generation.read(KEY)?;
    let chain = generation.read(CHAIN)?;
    let chain = parse_chain(&chain).map_err(|why| generation.refuse(CHAIN, why))?;
    let leaf = chain
        .first()
        .map(describe)
        .ok_or_else(|| generation.refuse(CHAIN, "holds no certificate"))?;
    let leaf = leaf.map_err(|why| generation.refuse(CHAIN, why))?;
    let key = parse_key(&key).map_err(|why| generation.refuse(KEY, why))?;
    let config = configure(chain, &key).map_err(|why| generation.refuse(KEY, why))?;
    Ok(Pair {
        config: Arc::new(config),
        leaf,
    })
}

/// The leaf that is installed under `certs_dir`, whoever serves it; `None`: none that can be read.
pub(crate) fn installed(certs_dir: &Path) -> Option<Leaf> {
    let chain = Generation::open(certs_dir).ok()?.read(CHAIN).ok()?;
    describe(parse_chain(&chain).ok()?.first()?).ok()
}

/// The directory that holds both files, opened once.
struct Generation {
    dir: OwnedFd,
    shown: String,
}

impl Generation {
    /// `certs/current` when there is one, else `certs` itself (a host that is not yet adopted has regular files there).
    fn open(certs_dir: &Path) -> Result<Self, Refused> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let current = certs_dir.join("current");
        match open(&current, flags, Mode::empty()) {
            Ok(dir) => {
                return Ok(Self {
                    dir,
                    shown: current.display().to_string(),
                });
            }
            // a link that leads nowhere is a fault, not "not adopted yet"
            Err(Errno::ENOENT) if current.symlink_metadata().is_err() => {}
            Err(errno) => return Err(Refused(format!("{}: {}", current.display(), errno.desc()))),
        }
        let shown = certs_dir.display().to_string();
        match open(certs_dir, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { dir, shown }),
            Err(errno) => Err(Refused(format!("{shown}: {}", errno.desc()))),
        }
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Refused> {
        // non-blocking: a FIFO in the file's place must not hang the server
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = openat(&self.dir, name, flags, Mode::empty())
            .map_err(|e| self.refuse(name, e.desc()))?;
        let file = File::from(fd);
        let meta = file
            .metadata()
            .map_err(|e| self.refuse(name, &e.to_string()))?;
        if !meta.is_file() {
            return Err(self.refuse(name, "is not a regular file"));
        }
        if meta.len() > MAX_BYTES {
            return Err(self.refuse(name, "is larger than 1 MiB"));
        }
        // sized up front: growing would leave copies of key bytes in freed memory
        let size = usize::try_from(meta.len()).unwrap_or_default() + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        file.take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|e| self.refuse(name, &e.to_string()))?;
        if bytes.is_empty() {
            return Err(self.refuse(name, "is empty"));
        }
        Ok(bytes)
    }

    fn refuse(&self, name: &str, why: &str) -> Refused {
        Refused(format!("{}/{name}: {why}", self.shown))
    }
}

/// Every block, or the reason. Parser errors are not quoted: some repeat the line they stumbled over.
fn parse_chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match section {
            Ok((SectionKind::Certificate, der)) => chain.push(CertificateDer::from(der)),
            Ok((
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                der,
            )) => {
                drop(Zeroizing::new(der));
                return Err("holds a private key: only certificates belong there");
            }
            Ok(_) => return Err("holds a block that is not a certificate"),
            Err(_) => return Err("holds a PEM block that is cut short or not base64"),
        }
    }
    // sections of unknown names are passed over by the parser; here they are as wrong as any other
    let begun = bytes
        .split(|&b| b == b'\n')
        .filter(|line| line.trim_ascii_start().starts_with(b"-----BEGIN "))
        .count();
    if begun > chain.len() {
        return Err("holds a block that is not a certificate");
    }
    if chain.is_empty() {
        return Err("holds no certificate");
    }
    if chain
        .iter()
        .any(|der| !matches!(X509Certificate::from_der(der), Ok((rest, _)) if rest.is_empty()))
    {
        return Err("holds a CERTIFICATE block that does not parse");
    }
    Ok(chain)
}

fn parse_key(bytes: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, &'static str> {
    PrivateKeyDer::from_pem_slice(bytes)
        .map(Zeroizing::new)
        .map_err(|e| match e {
            pem::Error::NoItemsFound => "holds no unencrypted private key",
            _ => "holds a PEM block that is cut short or not base64",
        })
}

fn describe(der: &CertificateDer<'_>) -> Result<Leaf, &'static str> {
    let (_, leaf) = X509Certificate::from_der(der)
        .map_err(|_| "holds a CERTIFICATE block that does not parse")?;
    let not_after = leaf.validity().not_after.to_datetime().format(&Rfc3339);
    let mut warnings = Vec::new();
    if !leaf.validity().is_valid() {
        warnings.push("the leaf is outside its validity: clients will refuse it");
    }
    if leaf.is_ca() {
        warnings.push("the leaf is marked as a CA: strict clients will refuse it");
    }
    let sha256 = digest::digest(&digest::SHA256, der)
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Ok(Leaf {
        sha256,
        not_after: not_after.map_err(|_| "holds a leaf with no readable end of validity")?,
        warnings,
        ca_issued: leaf.issuer().as_raw() != leaf.subject().as_raw(),
    })
}

/// TLS 1.2 and 1.3, h2 before http/1.1, no early data; refuses a key that is not the leaf's.
fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<ServerConfig, &'static str> {
    let signer = any_supported_type(key)
        .map_err(|_| "is not a key of a kind that can be served (RSA, ECDSA, Ed25519)")?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|e| match e {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "does not belong to the leaf in fullchain.pem"
        }
        _ => "cannot be compared with the leaf in fullchain.pem",
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| "cannot be served: no cipher suite for TLS 1.2 and 1.3 in this build")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

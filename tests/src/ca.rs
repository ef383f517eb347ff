//! A certificate authority by OpenSSL, independent of the product's own generator.
//!
//! Always true: it signs whatever it is asked to, also what no authority should: that is its use.
//!
//! Does not: publish anything (the test servers do).

use anyhow::{Context, Result};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{
    X509, X509Builder, X509Name, X509NameBuilder, X509NameRef, X509Req, X509ReqBuilder,
};

const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// RSA of so many bits.
    Rsa(u32),
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
}

/// What signatures are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// As it should be.
    Sha256,
    /// Refused by everybody today.
    Sha1,
}

/// What a leaf says; [`Leaf::default`] is a good one.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Start of validity, seconds from now; negative is past. Default: an hour ago.
    pub not_before_secs: i64,
    /// End of validity, seconds from now. Default: in 90 days.
    pub not_after_secs: i64,
    /// DNS names; `None`: those of the request (for a bare key: its common name).
    pub sans: Option<Vec<String>>,
    /// CA:TRUE (default no).
    pub ca: bool,
    /// Extended key usages in OpenSSL's words (`serverAuth`); empty: no such extension. Default: `serverAuth`.
    pub eku: Vec<&'static str>,
    /// The signature's digest.
    pub digest: Digest,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            not_before_secs: -HOUR_SECS,
            not_after_secs: 90 * DAY_SECS,
            sans: None,
            ca: false,
            eku: vec!["serverAuth"],
            digest: Digest::Sha256,
        }
    }
}

impl Leaf {
    /// Valid for so many more days.
    pub fn days(days: i64) -> Self {
        Self {
            not_after_secs: days * DAY_SECS,
            ..Self::default()
        }
    }

    /// Ended an hour ago, after 30 days.
    pub fn expired() -> Self {
        Self {
            not_before_secs: -30 * DAY_SECS,
            not_after_secs: -HOUR_SECS,
            ..Self::default()
        }
    }

    /// Starts tomorrow.
    pub fn not_yet_valid() -> Self {
        Self {
            not_before_secs: DAY_SECS,
            ..Self::default()
        }
    }

    /// Covers these names, whatever the request says.
    pub fn sans(names: &[&str]) -> Self {
        Self {
            sans: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..Self::default()
        }
    }
}

/// A root or intermediate authority.
#[derive(Debug, Clone)]
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
    /// From this one up to, and without, the root: what a fullchain carries after the leaf.
    intermediates: Vec<X509>,
    root: X509,
}

impl Authority {
    /// A self-signed root for ten years, RSA-2048.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn root(name: &str) -> Result<Self> {
        let key = key(Key::Rsa(2048))?;
        let certificate = authority_certificate(&key, name, None)?;
        Ok(Self {
            key,
            root: certificate.clone(),
            certificate,
            intermediates: Vec::new(),
        })
    }

    /// An intermediate that this one signs.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn intermediate(&self, name: &str) -> Result<Self> {
        let key = key(Key::Rsa(2048))?;
        let certificate = authority_certificate(&key, name, Some(self))?;
        let mut intermediates = vec![certificate.clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Ok(Self {
            key,
            certificate,
            intermediates,
            root: self.root.clone(),
        })
    }

    /// Signs a request in PEM: the leaf alone, in PEM.
    ///
    /// # Errors
    /// When the request does not parse or its own signature is wrong.
    pub fn sign(&self, csr_pem: &[u8], leaf: &Leaf) -> Result<Vec<u8>> {
        let request = X509Req::from_pem(csr_pem).context("parse the request")?;
        let public = request.public_key().context("the request's key")?;
        anyhow::ensure!(
            request.verify(&public).context("the request's signature")?,
            "the request is not signed by its own key"
        );
        let names = match &leaf.sans {
            Some(names) => names.clone(),
            None => requested_names(&request)?,
        };
        self.certify(&public, request.subject_name(), &names, leaf)?
            .to_pem()
            .context("encode the leaf")
    }

    /// Signs a request: the leaf and the intermediates, in PEM, as it is published.
    ///
    /// # Errors
    /// As [`Authority::sign`].
    pub fn fullchain(&self, csr_pem: &[u8], leaf: &Leaf) -> Result<Vec<u8>> {
        let mut chain = self.sign(csr_pem, leaf)?;
        chain.extend(self.intermediates_pem()?);
        Ok(chain)
    }

    /// Certifies a key that no request was made for: the leaf alone, in PEM, with `name` as its common name.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn issue(&self, key: &PKeyRef<Private>, name: &str, leaf: &Leaf) -> Result<Vec<u8>> {
        let public = PKey::public_key_from_pem(&key.public_key_to_pem().context("public key")?)
            .context("public key")?;
        let names = leaf.sans.clone().unwrap_or_else(|| vec![name.to_owned()]);
        self.certify(&public, &*common_name(name)?, &names, leaf)?
            .to_pem()
            .context("encode the leaf")
    }

    /// The root, in PEM: what clients trust.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn root_pem(&self) -> Result<Vec<u8>> {
        self.root.to_pem().context("encode the root")
    }

    /// This authority's own certificate, in PEM.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn certificate_pem(&self) -> Result<Vec<u8>> {
        self.certificate.to_pem().context("encode the authority")
    }

    /// What follows the leaf in a fullchain, in PEM; empty when a root signs by itself.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn intermediates_pem(&self) -> Result<Vec<u8>> {
        let blocks: Result<Vec<_>> = self
            .intermediates
            .iter()
            .map(|certificate| certificate.to_pem().context("encode an intermediate"))
            .collect();
        Ok(blocks?.concat())
    }

    fn certify(
        &self,
        key: &PKeyRef<Public>,
        subject: &X509NameRef,
        names: &[String],
        leaf: &Leaf,
    ) -> Result<X509> {
        let mut builder = new_certificate(leaf.not_before_secs, leaf.not_after_secs)?;
        builder.set_subject_name(subject)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_pubkey(key)?;
        let mut constraints = BasicConstraints::new();
        constraints.critical();
        if leaf.ca {
            constraints.ca();
        }
        builder.append_extension(constraints.build()?)?;
        builder.append_extension(
            KeyUsage::new()
                .critical()
                .digital_signature()
                .key_encipherment()
                .build()?,
        )?;
        if !leaf.eku.is_empty() {
            let mut usages = ExtendedKeyUsage::new();
            leaf.eku.iter().for_each(|usage| {
                usages.other(usage);
            });
            builder.append_extension(usages.build()?)?;
        }
        if !names.is_empty() {
            let mut alternative = SubjectAlternativeName::new();
            names.iter().for_each(|name| {
                alternative.dns(name);
            });
            let extension =
                alternative.build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(extension)?;
        }
        let issuer = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&builder.x509v3_context(Some(&self.certificate), None))?;
        builder.append_extension(issuer)?;
        builder.sign(&self.key, leaf.digest.openssl())?;
        Ok(builder.build())
    }
}

impl Digest {
    fn openssl(self) -> MessageDigest {
        match self {
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha1 => MessageDigest::sha1(),
        }
    }
}

/// A new private key.
///
/// # Errors
/// OpenSSL's.
pub fn key(kind: Key) -> Result<PKey<Private>> {
    let curve = match kind {
        Key::Rsa(bits) => return PKey::from_rsa(Rsa::generate(bits)?).context("make a key"),
        Key::P256 => Nid::X9_62_PRIME256V1,
        Key::P384 => Nid::SECP384R1,
    };
    let group = EcGroup::from_curve_name(curve)?;
    PKey::from_ec_key(EcKey::generate(&group)?).context("make a key")
}

/// A private key in PKCS#8 PEM.
///
/// # Errors
/// OpenSSL's.
pub fn key_pem(key: &PKeyRef<Private>) -> Result<Vec<u8>> {
    key.private_key_to_pem_pkcs8().context("encode a key")
}

/// A request for `name` alone, in PEM.
///
/// # Errors
/// OpenSSL's.
pub fn request(key: &PKeyRef<Private>, name: &str) -> Result<Vec<u8>> {
    let mut builder = X509ReqBuilder::new()?;
    let subject = common_name(name)?;
    builder.set_subject_name(&subject)?;
    builder.set_pubkey(key)?;
    let names = SubjectAlternativeName::new()
        .dns(name)
        .build(&builder.x509v3_context(None))?;
    let mut extensions = openssl::stack::Stack::new()?;
    extensions.push(names)?;
    builder.add_extensions(&extensions)?;
    builder.sign(key, MessageDigest::sha256())?;
    builder.build().to_pem().context("encode a request")
}

/// SHA-256 of the first certificate's DER in `pem`, lower-case hex: what reports call `sha256`.
///
/// # Errors
/// When there is no certificate.
pub fn fingerprint(pem: &[u8]) -> Result<String> {
    let leaf = X509::from_pem(pem).context("parse a certificate")?;
    let digest = leaf.digest(MessageDigest::sha256())?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn authority_certificate(
    key: &PKeyRef<Private>,
    name: &str,
    issuer: Option<&Authority>,
) -> Result<X509> {
    let mut builder = new_certificate(-DAY_SECS, 3650 * DAY_SECS)?;
    let subject = common_name(name)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(
        KeyUsage::new()
            .critical()
            .key_cert_sign()
            .crl_sign()
            .build()?,
    )?;
    let own = SubjectKeyIdentifier::new()
        .build(&builder.x509v3_context(issuer.map(|issuer| &*issuer.certificate), None))?;
    builder.append_extension(own)?;
    if let Some(issuer) = issuer {
        let context = builder.x509v3_context(Some(&issuer.certificate), None);
        let key_of_issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(key_of_issuer)?;
    }
    builder.sign(
        issuer.map_or(key, |issuer| &issuer.key),
        MessageDigest::sha256(),
    )?;
    Ok(builder.build())
}

/// Version, serial and validity.
fn new_certificate(not_before_secs: i64, not_after_secs: i64) -> Result<X509Builder> {
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_secs(),
    )?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_not_before(&*Asn1Time::from_unix(now + not_before_secs)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(now + not_after_secs)?)?;
    Ok(builder)
}

fn common_name(name: &str) -> Result<X509Name> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

/// The DNS names that a request asks for. The binding reads no extensions of requests, the program does.
fn requested_names(request: &X509Req) -> Result<Vec<String>> {
    let text =
        String::from_utf8_lossy(&request.to_text().context("print the request")?).into_owned();
    Ok(text
        .split([',', '\n'])
        .filter_map(|part| part.trim().strip_prefix("DNS:").map(str::to_owned))
        .collect())
}

//! A certificate authority by OpenSSL, independent of what the product generates with.
//!
//! Always true: it signs what a request asks for only where the test says nothing else; every flaw a chain can have is
//! a field of [`Leaf`].
//!
//! Does not: serve (see `https_source`).

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{X509, X509Builder, X509Name, X509Req};

/// What a leaf says; the default is a good one.
#[derive(Clone)]
pub struct Leaf {
    /// DNS names and addresses of the SAN; none: no SAN at all.
    pub names: Vec<String>,
    /// First second of validity, from now.
    pub from_secs: i64,
    /// Last second of validity, from now.
    pub to_secs: i64,
    /// Basic constraints CA:TRUE.
    pub ca: bool,
    /// The extended key usage.
    pub usage: Usage,
    /// The digest of the signature.
    pub digest: Digest,
}

/// A leaf's extended key usage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// serverAuth.
    Server,
    /// clientAuth alone.
    Client,
    /// No such extension.
    None,
}

/// A signature's digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

/// One day, in seconds.
pub const DAY: i64 = 86_400;

impl Leaf {
    /// For this name, from yesterday, for 90 days.
    pub fn new(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            from_secs: -DAY,
            to_secs: 89 * DAY,
            ca: false,
            usage: Usage::Server,
            digest: Digest::Sha256,
        }
    }

    /// With another validity, in days from now.
    pub fn days(self, from: i64, to: i64) -> Self {
        Self {
            from_secs: from * DAY,
            to_secs: to * DAY,
            ..self
        }
    }
}

/// A CA: its certificate, its key, and the issuers between it and the root.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    /// Issuers above it that belong into a chain file, nearest first; the root is not among them.
    above: Vec<X509>,
    is_root: bool,
}

impl Authority {
    /// A root with a P-256 key.
    pub fn root(name: &str) -> Self {
        Self::root_with(name, ec_key(), &Leaf::new("").days(-1000, 3650))
    }

    /// A root with this key, validity and digest.
    pub fn root_with(name: &str, key: PKey<Private>, like: &Leaf) -> Self {
        let subject = common_name(name);
        let certificate = authority_certificate(&subject, &subject, &key, &key, like);
        Self {
            certificate,
            key,
            above: Vec::new(),
            is_root: true,
        }
    }

    /// An intermediate below this CA.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, ec_key(), &Leaf::new("").days(-500, 1800))
    }

    /// An intermediate with this key, validity and digest.
    pub fn intermediate_with(&self, name: &str, key: PKey<Private>, like: &Leaf) -> Self {
        let issuer = self.certificate.subject_name();
        let certificate = authority_certificate(&common_name(name), issuer, &key, &self.key, like);
        let mut above = self.issuers();
        above.dedup();
        Self {
            certificate,
            key,
            above,
            is_root: false,
        }
    }

    /// The CA's own certificate, PEM.
    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// The CA's own certificate.
    pub fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Signs the key of a request, for the names of `leaf`.
    pub fn sign(&self, request_pem: &[u8], leaf: &Leaf) -> X509 {
        let request = X509Req::from_pem(request_pem).unwrap();
        let key = request.public_key().unwrap();
        assert!(request.verify(&key).unwrap(), "the request's signature");
        self.sign_key(&key, request.subject_name(), leaf)
    }

    /// Signs a public key.
    pub fn sign_key(
        &self,
        key: &PKey<Public>,
        subject: &openssl::x509::X509NameRef,
        leaf: &Leaf,
    ) -> X509 {
        let issuer = self.certificate.subject_name();
        let mut builder = builder(subject, issuer, leaf);
        builder.set_pubkey(key).unwrap();
        let mut constraints = BasicConstraints::new();
        constraints.critical();
        if leaf.ca {
            constraints.ca();
        }
        builder
            .append_extension(constraints.build().unwrap())
            .unwrap();
        let usage = match leaf.usage {
            Usage::Server => Some(ExtendedKeyUsage::new().server_auth().build().unwrap()),
            Usage::Client => Some(ExtendedKeyUsage::new().client_auth().build().unwrap()),
            Usage::None => None,
        };
        if let Some(usage) = usage {
            builder.append_extension(usage).unwrap();
        }
        if !leaf.names.is_empty() {
            let mut san = SubjectAlternativeName::new();
            for name in &leaf.names {
                if name.parse::<std::net::IpAddr>().is_ok() {
                    san.ip(name);
                } else {
                    san.dns(name);
                }
            }
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let san = san.build(&context).unwrap();
            builder.append_extension(san).unwrap();
        }
        builder.sign(&self.key, digest(leaf.digest)).unwrap();
        builder.build()
    }

    /// What is published for a leaf of this CA: the leaf and its issuers, without the root.
    pub fn chain(&self, leaf: &X509) -> String {
        let issuers = self.issuers();
        std::iter::once(leaf).chain(&issuers).map(pem).collect()
    }

    /// Signs a request and returns the chain that is published.
    pub fn answer(&self, request_pem: &[u8], leaf: &Leaf) -> String {
        self.chain(&self.sign(request_pem, leaf))
    }

    fn issuers(&self) -> Vec<X509> {
        let own = (!self.is_root).then(|| self.certificate.clone());
        own.into_iter().chain(self.above.iter().cloned()).collect()
    }
}

/// A certificate as PEM.
pub fn pem(certificate: &X509) -> String {
    String::from_utf8(certificate.to_pem().unwrap()).unwrap()
}

/// SHA-256 of a certificate's DER, lower-case hex.
pub fn sha256(certificate: &X509) -> String {
    let digest = certificate.digest(MessageDigest::sha256()).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the first certificate in a PEM file's text.
pub fn leaf_sha256(chain_pem: &[u8]) -> String {
    sha256(&X509::from_pem(chain_pem).unwrap())
}

/// A P-256 key.
pub fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// An RSA key of this many bits.
pub fn rsa_key(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// A private key as PKCS#8 PEM.
pub fn key_pem(key: &PKey<Private>) -> String {
    String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap()
}

/// The public half.
pub fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

/// A subject of one common name.
pub fn common_name(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

fn authority_certificate(
    subject: &openssl::x509::X509NameRef,
    issuer: &openssl::x509::X509NameRef,
    key: &PKey<Private>,
    signer: &PKey<Private>,
    like: &Leaf,
) -> X509 {
    let mut builder = builder(subject, issuer, like);
    builder.set_pubkey(key).unwrap();
    let constraints = BasicConstraints::new().critical().ca().build().unwrap();
    builder.append_extension(constraints).unwrap();
    let usage = KeyUsage::new()
        .critical()
        .key_cert_sign()
        .crl_sign()
        .build()
        .unwrap();
    builder.append_extension(usage).unwrap();
    builder.sign(signer, digest(like.digest)).unwrap();
    builder.build()
}

fn builder(
    subject: &openssl::x509::X509NameRef,
    issuer: &openssl::x509::X509NameRef,
    leaf: &Leaf,
) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::ONE, false).unwrap();
    builder
        .set_serial_number(&Asn1Integer::from_bn(&serial).unwrap())
        .unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_not_before(&at(leaf.from_secs)).unwrap();
    builder.set_not_after(&at(leaf.to_secs)).unwrap();
    builder
}

fn at(secs: i64) -> Asn1Time {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Asn1Time::from_unix(i64::try_from(now.as_secs()).unwrap() + secs).unwrap()
}

fn digest(digest: Digest) -> MessageDigest {
    match digest {
        Digest::Sha256 => MessageDigest::sha256(),
        Digest::Sha384 => MessageDigest::sha384(),
        Digest::Sha1 => MessageDigest::sha1(),
        Digest::Md5 => MessageDigest::md5(),
    }
}

//! One X.509 certificate, read once into plain values.
//!
//! Always true: the DER parsed whole, with nothing behind it; times are UTC; names are lower-case; no text of a
//! certificate holds a control character.
//!
//! Does not: judge (that is `chain`).

use time::OffsetDateTime;
use x509_parser::asn1_rs::Any;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OidRegistry;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::outcome::one_line;
use crate::sha256::sha256;

/// A certificate's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate as signed.
    pub der: Vec<u8>,
    /// SHA-256 of `der`, lower-case hex.
    pub sha256: String,
    /// Subject, as a person reads it.
    pub subject: String,
    /// Issuer, as a person reads it.
    pub issuer: String,
    /// The subject public key info, DER.
    pub spki: Vec<u8>,
    /// First moment of validity.
    pub not_before: OffsetDateTime,
    /// Last moment of validity.
    pub not_after: OffsetDateTime,
    /// DNS names it covers, lower-case.
    pub sans: Vec<String>,
    /// Basic constraints say CA:TRUE.
    pub is_ca: bool,
    /// Extended key usage names serverAuth.
    pub server_auth: bool,
    /// The key, for people: `rsa-2048`, `ecdsa-p256`.
    pub key: String,
    /// The key is too weak to be served: RSA below 2048 bits, or a curve other than P-256, P-384, P-521, Ed25519.
    pub weak_key: bool,
    /// Signed with MD5 or SHA-1.
    pub weak_signature: bool,
    /// The signature's algorithm, for people.
    pub signature: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    may_sign: bool,
    path_len: Option<u32>,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// One line saying what does not parse.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, x509) = X509Certificate::from_der(der)
            .map_err(|error| format!("not a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err(format!("{} bytes behind the certificate", rest.len()));
        }
        if let Some(extension) = x509.extensions().iter().find(|extension| {
            matches!(
                extension.parsed_extension(),
                ParsedExtension::ParseError { .. }
            )
        }) {
            return Err(format!("extension {} does not parse", extension.oid));
        }
        let basic = x509
            .basic_constraints()
            .map_err(|error| format!("basic constraints: {error}"))?;
        let usage = x509
            .key_usage()
            .map_err(|error| format!("key usage: {error}"))?;
        let extended = x509
            .extended_key_usage()
            .map_err(|error| format!("extended key usage: {error}"))?;
        let alternative = x509
            .subject_alternative_name()
            .map_err(|error| format!("SAN: {error}"))?;
        let (key, weak_key) = key_strength(x509.public_key())?;
        let (signature, weak_signature) = signature_strength(&x509);
        Ok(Self {
            der: der.to_vec(),
            sha256: sha256(der),
            subject: one_line(&x509.subject().to_string()),
            issuer: one_line(&x509.issuer().to_string()),
            spki: x509.public_key().raw.to_vec(),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            sans: alternative
                .map(|san| dns_names(&san.value.general_names))
                .unwrap_or_default()
                .iter()
                .map(|name| one_line(name))
                .collect(),
            is_ca: basic.as_ref().is_some_and(|basic| basic.value.ca),
            server_auth: extended.is_some_and(|extended| extended.value.server_auth),
            key,
            weak_key,
            weak_signature,
            signature,
            subject_der: x509.subject().as_raw().to_vec(),
            issuer_der: x509.issuer().as_raw().to_vec(),
            may_sign: usage.is_none_or(|usage| usage.value.key_cert_sign()),
            path_len: basic.and_then(|basic| basic.value.path_len_constraint),
        })
    }

    /// Signed by its own key: a bridge, or a root.
    pub fn is_self_signed(&self) -> bool {
        self.subject_der == self.issuer_der && self.signature_verifies_with(self)
    }

    /// Why `issuer` did not issue this certificate, with `below` further CA certificates between it and the leaf.
    /// A signature by a weak key or digest proves nothing and is not looked at; it is reported as weak instead.
    pub fn issued_by(&self, issuer: &Certificate, below: u32) -> Result<(), String> {
        if self.issuer_der != issuer.subject_der {
            return Err(format!(
                "{:?} is issued by {:?}, but the next block is {:?}",
                self.subject, self.issuer, issuer.subject
            ));
        }
        if !issuer.is_ca || !issuer.may_sign {
            return Err(format!("{:?} is not a CA that may sign", issuer.subject));
        }
        if issuer.path_len.is_some_and(|most| below > most) {
            return Err(format!("{:?} allows a shorter path only", issuer.subject));
        }
        if !self.weak_signature && !issuer.weak_key && !self.signature_verifies_with(issuer) {
            return Err(format!(
                "the signature on {:?} is not by {:?}",
                self.subject, issuer.subject
            ));
        }
        Ok(())
    }

    /// Covers this DNS name, by itself or by a wildcard for one label.
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.sans.iter().any(|san| {
            *san == name
                || (san
                    .strip_prefix("*.")
                    .is_some_and(|wild| !name.starts_with('*') && parent == Some(wild)))
        })
    }

    /// How long it is valid, from first to last moment.
    pub fn life(&self) -> time::Duration {
        self.not_after - self.not_before
    }

    /// Whole days until it ends, rounded down; negative when it has ended.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_seconds().div_euclid(86_400)
    }

    fn signature_verifies_with(&self, issuer: &Certificate) -> bool {
        signed_by(&self.der, &issuer.spki) == Some(true)
    }
}

/// The DNS names among a SAN's names, lower-case.
pub fn dns_names(names: &[GeneralName<'_>]) -> Vec<String> {
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(dns) => Some(dns.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// Is this signed object (a certificate or a request: `SEQUENCE { what is signed, algorithm, signature }`) signed by
/// the key? `None`: the algorithm is not one that a TLS client of today verifies.
pub fn signed_by(der: &[u8], spki: &[u8]) -> Option<bool> {
    let (_, object) = Any::from_der(der).ok()?;
    let (after_signed, _) = Any::from_der(object.data).ok()?;
    let signed = object.data.get(..object.data.len() - after_signed.len())?;
    let (after_algorithm, algorithm) = Any::from_der(after_signed).ok()?;
    let (_, signature) = Any::from_der(after_algorithm).ok()?;
    let (_, key) = Any::from_der(spki).ok()?;
    let (after_key_algorithm, key_algorithm) = Any::from_der(key.data).ok()?;
    let (_, public_key) = Any::from_der(after_key_algorithm).ok()?;
    // the first byte of a BIT STRING counts its unused bits: none here
    let (signature, public_key) = (signature.data.get(1..)?, public_key.data.get(1..)?);
    let mut known = false;
    for candidate in rustls::crypto::aws_lc_rs::default_provider()
        .signature_verification_algorithms
        .all
    {
        if candidate.signature_alg_id().as_ref() == algorithm.data
            && candidate.public_key_alg_id().as_ref() == key_algorithm.data
        {
            known = true;
            if candidate
                .verify_signature(public_key, signed, signature)
                .is_ok()
            {
                return Some(true);
            }
        }
    }
    known.then_some(false)
}

const EC_CURVES: [(&str, &str); 3] = [
    ("1.2.840.10045.3.1.7", "ecdsa-p256"),
    ("1.3.132.0.34", "ecdsa-p384"),
    ("1.3.132.0.35", "ecdsa-p521"),
];
const ED25519: &str = "1.3.101.112";
/// MD2, MD5 and SHA-1 with RSA (two spellings), SHA-1 with ECDSA and DSA.
const WEAK_SIGNATURES: [&str; 6] = [
    "1.2.840.113549.1.1.2",
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    "1.2.840.10045.4.1",
    "1.2.840.10040.4.3",
];

/// A public key's name for people (`rsa-2048`), from the SPKI's DER.
pub fn key_name(spki: &[u8]) -> Option<String> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    key_strength(&spki).ok().map(|(name, _)| name)
}

/// The key's name and whether it is too weak.
fn key_strength(spki: &SubjectPublicKeyInfo<'_>) -> Result<(String, bool), String> {
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    Ok(
        match spki
            .parsed()
            .map_err(|error| format!("public key: {error}"))?
        {
            PublicKey::RSA(rsa) => {
                let bits = rsa_bits(rsa.modulus);
                (format!("rsa-{bits}"), bits < 2048)
            }
            PublicKey::EC(_) => {
                let curve = curve.map(|curve| curve.to_id_string()).unwrap_or_default();
                let known = EC_CURVES.iter().find(|(oid, _)| *oid == curve);
                known.map_or(("ecdsa-other".into(), true), |(_, name)| {
                    ((*name).to_owned(), false)
                })
            }
            _ if spki.algorithm.algorithm.to_id_string() == ED25519 => ("ed25519".into(), false),
            _ => (spki.algorithm.algorithm.to_id_string(), true),
        },
    )
}

/// The length of an RSA modulus in bits.
pub fn rsa_bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    let bytes = significant.clone().count();
    bytes * 8
        - significant
            .clone()
            .next()
            .map_or(0, |first| first.leading_zeros() as usize)
}

fn signature_strength(x509: &X509Certificate<'_>) -> (String, bool) {
    let oid = x509.signature_algorithm.algorithm.to_id_string();
    let name = OidRegistry::default()
        .with_crypto()
        .get(&x509.signature_algorithm.algorithm)
        .map_or_else(|| oid.clone(), |entry| entry.sn().to_owned());
    (name, WEAK_SIGNATURES.contains(&oid.as_str()))
}

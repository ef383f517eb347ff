//! What is asked of a CA, and what bridges the time until it answers.
//!
//! Always true: request and bridge carry the same subject, names, key usage (digitalSignature, keyEncipherment) and
//! extended key usage (serverAuth); the bridge is an end-entity certificate (CA:FALSE), so strict clients take it.
//!
//! Does not: write files.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use super::certificate::{Certificate, dns_names, signed_by};
use super::key::PrivateKey;

/// How long a bridge is valid.
pub const BRIDGE_LIFE: Duration = Duration::days(30);

/// What both are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `(attribute, value)` in order.
    pub subject: Vec<(String, String)>,
    /// DNS names, `DOMAIN` first.
    pub names: Vec<String>,
}

/// A certificate signing request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// Whose key: subject public key info, DER.
    pub spki: Vec<u8>,
    subject: Vec<(String, String)>,
    names: Vec<String>,
}

impl Request {
    /// Reads a PEM request and checks its signature.
    ///
    /// # Errors
    /// One clause.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let block = pem::parse(bytes).map_err(|_| "it is not PEM".to_owned())?;
        let (_, request) = X509CertificationRequest::from_der(block.contents())
            .map_err(|_| "it is not a certificate signing request".to_owned())?;
        let info = &request.certification_request_info;
        let spki = info.subject_pki.raw.to_vec();
        if signed_by(block.contents(), &spki) != Some(true) {
            return Err("its signature does not verify".into());
        }
        let subject = info
            .subject
            .iter_attributes()
            .map(|attribute| {
                (
                    attribute.attr_type().to_id_string(),
                    attribute.as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let mut names = Vec::new();
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(san) = extension {
                names.extend(dns_names(&san.general_names));
            }
        }
        Ok(Self {
            sha256: crate::sha256::sha256(block.contents()),
            spki,
            subject,
            names,
        })
    }

    /// Does it ask for this identity?
    pub fn asks_for(&self, identity: &Identity) -> bool {
        let subject: Vec<(String, String)> = identity
            .subject
            .iter()
            .filter_map(|(attribute, value)| {
                let components = attribute_oid(attribute)?;
                let oid = components
                    .iter()
                    .map(u64::to_string)
                    .collect::<Vec<_>>()
                    .join(".");
                Some((oid, value.clone()))
            })
            .collect();
        self.subject == subject && self.names == identity.names
    }
}

/// A PEM request for this identity, signed by its key.
///
/// # Errors
/// One clause: what of the subject cannot be written.
pub fn request(identity: &Identity, key: &PrivateKey) -> Result<String, String> {
    let request = parameters(identity)?
        .serialize_request(&key.pair()?)
        .and_then(|request| request.pem())
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let lf = request.replace("\r\n", "\n");
    Request::parse(lf.as_bytes()).map(|_| lf)
}

/// A self-signed certificate for this identity, from now for [`BRIDGE_LIFE`].
///
/// # Errors
/// One clause.
pub fn bridge(
    identity: &Identity,
    key: &PrivateKey,
    now: OffsetDateTime,
) -> Result<Certificate, String> {
    let mut parameters = parameters(identity)?;
    parameters.is_ca = IsCa::ExplicitNoCa;
    // An hour back: the clocks of clients differ.
    parameters.not_before = now - Duration::hours(1);
    parameters.not_after = now + BRIDGE_LIFE;
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| "no random bytes from the system".to_owned())?;
    serial[0] &= 0x7f; // positive
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let made = parameters
        .self_signed(&key.pair()?)
        .map_err(|error| format!("the bridge certificate cannot be made: {error}"))?;
    Certificate::from_der(made.der())
}

fn parameters(identity: &Identity) -> Result<CertificateParams, String> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let mut written: Vec<DnType> = Vec::new();
    for (attribute, value) in &identity.subject {
        let oid = attribute_oid(attribute)
            .ok_or_else(|| format!("unknown subject attribute {attribute}"))?;
        // The library keeps one value an attribute; a second one goes in under the attribute's bare number.
        let named = DnType::from_oid(oid);
        let kind = if written.contains(&named) {
            DnType::CustomDnType(oid.to_vec())
        } else {
            named
        };
        if written.contains(&kind) {
            return Err(format!("the subject has more than two {attribute}"));
        }
        let text = match attribute.as_str() {
            "C" | "serialNumber" => value.as_str().try_into().map(DnValue::PrintableString),
            "emailAddress" | "DC" => value.as_str().try_into().map(DnValue::Ia5String),
            _ => Ok(DnValue::Utf8String(value.clone())),
        };
        let text = text.map_err(|_| {
            format!("subject {attribute}={value:?} has characters that are not allowed")
        })?;
        parameters.distinguished_name.push(kind.clone(), text);
        written.push(kind);
    }
    for name in &identity.names {
        let name = name
            .as_str()
            .try_into()
            .map_err(|_| format!("{name:?} is not a DNS name"))?;
        parameters.subject_alt_names.push(SanType::DnsName(name));
    }
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn attribute_oid(attribute: &str) -> Option<&'static [u64]> {
    Some(match attribute {
        "C" => &[2, 5, 4, 6],
        "ST" => &[2, 5, 4, 8],
        "L" => &[2, 5, 4, 7],
        "O" => &[2, 5, 4, 10],
        "OU" => &[2, 5, 4, 11],
        "CN" => &[2, 5, 4, 3],
        "serialNumber" => &[2, 5, 4, 5],
        "emailAddress" => &[1, 2, 840, 113_549, 1, 9, 1],
        "DC" => &[0, 9, 2342, 19_200_300, 100, 1, 25],
        _ => return None,
    })
}

//! A CA and its server certificates, for the test servers.
//!
//! Always true: made by OpenSSL, independently of the product's own generator; keys are P-256.
//!
//! Does not: sign the product's CSRs, revoke, or make chains of several CAs.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{X509, X509Builder, X509Name};

/// A certificate authority of a test's own.
pub struct Ca {
    cert: X509,
    key: PKey<Private>,
}

/// A server's certificate and key, PEM.
#[derive(Clone)]
pub struct Identity {
    /// The leaf.
    pub cert_pem: Vec<u8>,
    /// Its key, PKCS #8.
    pub key_pem: Vec<u8>,
}

/// When a certificate is valid, in days from now.
#[derive(Clone, Copy)]
pub struct Validity {
    /// First day; negative: in the past.
    pub from_days: i64,
    /// Last day.
    pub to_days: i64,
}

/// Yesterday to a month from now.
pub const CURRENT: Validity = Validity {
    from_days: -1,
    to_days: 30,
};

impl Ca {
    /// A new root.
    pub fn new(name: &str) -> Self {
        let key = new_key();
        let subject = common_name(name);
        let mut builder = builder(
            &subject,
            &subject,
            &key,
            Validity {
                from_days: -100,
                to_days: 3650,
            },
        );
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        builder
            .append_extension(
                KeyUsage::new()
                    .critical()
                    .key_cert_sign()
                    .crl_sign()
                    .build()
                    .unwrap(),
            )
            .unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self {
            cert: builder.build(),
            key,
        }
    }

    /// The root, PEM: what goes into a bundle.
    pub fn pem(&self) -> Vec<u8> {
        self.cert.to_pem().unwrap()
    }

    /// A server certificate for `names`, each a DNS name or an IP address.
    pub fn server(&self, names: &[&str], validity: Validity) -> Identity {
        let key = new_key();
        let mut builder = builder(
            &common_name(names[0]),
            self.cert.subject_name(),
            &key,
            validity,
        );
        let mut san = SubjectAlternativeName::new();
        for name in names {
            if name.parse::<std::net::IpAddr>().is_ok() {
                san.ip(name)
            } else {
                san.dns(name)
            };
        }
        let san = san
            .build(&builder.x509v3_context(Some(&self.cert), None))
            .unwrap();
        builder
            .append_extension(BasicConstraints::new().critical().build().unwrap())
            .unwrap();
        builder
            .append_extension(
                KeyUsage::new()
                    .critical()
                    .digital_signature()
                    .build()
                    .unwrap(),
            )
            .unwrap();
        builder
            .append_extension(ExtendedKeyUsage::new().server_auth().build().unwrap())
            .unwrap();
        builder.append_extension(san).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Identity {
            cert_pem: builder.build().to_pem().unwrap(),
            key_pem: key.private_key_to_pem_pkcs8().unwrap(),
        }
    }
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn common_name(name: &str) -> X509Name {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    subject.build()
}

fn builder(
    subject: &openssl::x509::X509NameRef,
    issuer: &openssl::x509::X509NameRef,
    key: &PKey<Private>,
    validity: Validity,
) -> X509Builder {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let at = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&at(validity.from_days)).unwrap();
    builder.set_not_after(&at(validity.to_days)).unwrap();
    builder
}

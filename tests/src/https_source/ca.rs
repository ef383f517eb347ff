//! Server certificates for the test servers.
//!
//! Always true: signed by an [`Authority`] of the test's own.
//!
//! Does not: sign the product's requests (that is `authority`).

use crate::authority::{Authority, Leaf, common_name, ec_key, key_pem, pem, public};

/// A certificate authority of a test's own.
pub struct Ca(Authority);

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
        Self(Authority::root(name))
    }

    /// The root, PEM: what goes into a bundle.
    pub fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A server certificate for `names`, each a DNS name or an IP address.
    pub fn server(&self, names: &[&str], validity: Validity) -> Identity {
        let key = ec_key();
        let leaf = Leaf {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Leaf::new("").days(validity.from_days, validity.to_days)
        };
        let certificate = self
            .0
            .sign_key(&public(&key), &common_name(names[0]), &leaf);
        Identity {
            cert_pem: pem(&certificate).into_bytes(),
            key_pem: key_pem(&key).into_bytes(),
        }
    }
}

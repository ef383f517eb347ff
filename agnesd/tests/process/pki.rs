//! A certificate authority for tests, and clients that trust nothing else.

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// One CA.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
}

/// A key and the chain for it.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) chain: String,
    /// Of the leaf's DER.
    pub(crate) sha256: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn pair(&self) -> Pair {
        self.pair_with(|_| {})
    }

    pub(crate) fn pair_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let chain = leaf.pem() + &self.root.pem();
        Pair {
            key: key.serialize_pem(),
            chain,
            sha256: sha256(leaf.der()),
        }
    }

    /// A pair that signed itself, and a client that trusts it.
    pub(crate) fn bridge() -> (Arc<ClientConfig>, Pair) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params.self_signed(&key).unwrap();
        let pair = Pair {
            key: key.serialize_pem(),
            chain: leaf.pem(),
            sha256: sha256(leaf.der()),
        };
        (client_of(&leaf, rustls::DEFAULT_VERSIONS, &[]), pair)
    }

    /// A client that verifies for real and remembers sessions.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.client_of(rustls::DEFAULT_VERSIONS, &[])
    }

    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        client_of(&self.root, versions, alpn)
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }
}

fn client_of(
    root: &Certificate,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

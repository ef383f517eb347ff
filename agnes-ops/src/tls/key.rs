//! Private keys: made in memory, checked, and only then worth installing.
//!
//! Always true: the PEM is wiped from memory when dropped and has no `Debug`; the public half is computed from the
//! private one, never believed.
//!
//! Does not: write (that is `generations` and `pending`).

use agnes_config::KeyType;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::asn1_rs::{Any, FromDer as _, Integer};
use zeroize::Zeroizing;

/// A private key that belongs to a public one.
#[derive(Clone)]
pub struct PrivateKey {
    pem: Zeroizing<Vec<u8>>,
    /// The public half: subject public key info, DER.
    pub spki: Vec<u8>,
    /// `rsa-2048`, `ecdsa-p256`…
    pub kind: String,
    /// Too small for any TLS stack of today: it can be named, but not used.
    pub too_small: bool,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.kind)
    }
}

impl PrivateKey {
    /// Makes a key and proves it on the spot: what was generated must sign what its public half verifies.
    ///
    /// # Errors
    /// When the generator fails or its product does not pass.
    pub fn generate(kind: KeyType) -> Result<Self, String> {
        let pair = match kind {
            KeyType::Rsa2048 => {
                rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
            }
            KeyType::Rsa3072 => {
                rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072)
            }
            KeyType::Rsa4096 => {
                rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096)
            }
            KeyType::EcdsaP256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        }
        .map_err(|error| format!("the key generator failed: {error}"))?;
        let key = Self::parse(Zeroizing::new(pair.serialize_pem()).as_bytes())?;
        let request = rcgen::CertificateParams::default()
            .serialize_request(&key.pair()?)
            .map_err(|error| format!("the new key does not sign: {error}"))?;
        if super::certificate::signed_by(request.der(), &key.spki) != Some(true) {
            return Err("the new key's signature does not verify with its public half".into());
        }
        Ok(key)
    }

    /// Reads a PEM file that holds one private key: PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// One clause, without a byte of what was read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err("it is empty".into());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not PEM".to_owned())?;
        if text.contains("ENCRYPTED") {
            return Err("it is an encrypted key; nobody is there to type the passphrase".into());
        }
        if text.matches("PRIVATE KEY-----").count() > 2 {
            return Err("there is more than one private key in it".into());
        }
        let der = PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|_| "there is no private key in it that parses".to_owned())?;
        let (spki, kind, too_small) =
            match rustls::crypto::aws_lc_rs::sign::any_supported_type(&der) {
                Ok(signing) => {
                    let spki = signing
                        .public_key()
                        .ok_or("its public half cannot be computed")?
                        .as_ref()
                        .to_vec();
                    let kind = super::certificate::key_name(&spki)
                        .ok_or("its public half does not parse")?;
                    (spki, kind, false)
                }
                // Too small for any TLS stack of today, but still a key: the chain over it is refused as weak.
                Err(_) => small_rsa(&der).ok_or("it is not an RSA, ECDSA or Ed25519 key")?,
            };
        // Only the key's own block is kept, whatever else the file held.
        let tag = match &der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let block = pem::Pem::new(tag, der.secret_der());
        Ok(Self {
            pem: Zeroizing::new(pem::encode_config(&block, config).into_bytes()),
            spki,
            kind,
            too_small,
        })
    }

    /// The file's bytes.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// For making requests and bridges.
    pub fn pair(&self) -> Result<rcgen::KeyPair, String> {
        let der = PrivateKeyDer::from_pem_slice(&self.pem)
            .map_err(|_| "the key does not parse".to_owned())?;
        rcgen::KeyPair::try_from(&der).map_err(|error| format!("the key cannot sign: {error}"))
    }

    /// Is this key of the wanted kind?
    pub fn is(&self, kind: KeyType) -> bool {
        self.kind
            == match kind {
                KeyType::Rsa2048 => "rsa-2048",
                KeyType::Rsa3072 => "rsa-3072",
                KeyType::Rsa4096 => "rsa-4096",
                KeyType::EcdsaP256 => "ecdsa-p256",
                KeyType::EcdsaP384 => "ecdsa-p384",
            }
    }
}

/// Public half of an RSA key that the crypto library refuses to load for its size.
fn small_rsa(der: &PrivateKeyDer<'_>) -> Option<(Vec<u8>, String, bool)> {
    let pkcs1 = match der {
        PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
        PrivateKeyDer::Pkcs8(key) => {
            let (_, outer) = Any::from_der(key.secret_pkcs8_der()).ok()?;
            let (rest, _version) = Any::from_der(outer.data).ok()?;
            let (rest, _algorithm) = Any::from_der(rest).ok()?;
            let (_, octets) = Any::from_der(rest).ok()?;
            octets.data
        }
        _ => return None,
    };
    let (_, sequence) = Any::from_der(pkcs1).ok()?;
    let (rest, _version) = Integer::from_der(sequence.data).ok()?;
    let (after_modulus, modulus) = Integer::from_der(rest).ok()?;
    let (after_exponent, _) = Integer::from_der(after_modulus).ok()?;
    let public = rest.get(..rest.len() - after_exponent.len())?;
    let bits = super::certificate::rsa_bits(modulus.as_ref());
    if !(256..2048).contains(&bits) {
        return None;
    }
    Some((rsa_spki(public), format!("rsa-{bits}"), true))
}

/// `SubjectPublicKeyInfo` around the contents of an `RSAPublicKey`.
fn rsa_spki(public: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 15] = [
        0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0,
    ];
    let key = tlv(0x30, public);
    let bits = tlv(0x03, &[&[0], key.as_slice()].concat());
    tlv(0x30, &[RSA_ENCRYPTION.as_slice(), &bits].concat())
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = contents.len().to_be_bytes();
    let significant: Vec<u8> = length
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(contents);
    out
}

//! A chain from outside: read strictly, written again, judged.
//!
//! Always true: what is read holds certificates and nothing else. Bytes without a PEM block are also tried as the content of
//! one: no mutation gets through base64 to the certificate inside.
//!
//! Does not: reach a verdict that anybody uses.

use time::macros::datetime;

use crate::chain::{Chain, Criteria};

/// # Panics
/// When a promise of `tls/chain.rs` does not hold.
pub fn check(bytes: &[u8]) {
    if bytes.windows(5).any(|window| window == b"-----") {
        one(bytes);
    } else {
        one(pem::encode(&pem::Pem::new("CERTIFICATE", bytes)).as_bytes());
    }
}

fn one(bytes: &[u8]) {
    let chain = match Chain::parse(bytes) {
        Ok(chain) => chain,
        Err(refused) => {
            assert!(!refused.findings.is_empty());
            let line = refused.line();
            assert!(!line.chars().any(char::is_control), "{line:?}");
            return;
        }
    };
    let pem = chain.to_pem();
    assert_eq!(Chain::parse(pem.as_bytes()).as_ref(), Ok(&chain));
    let blocks = chain.certificates().len();
    assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----").count(), blocks);
    assert_eq!(pem.matches("-----BEGIN ").count(), blocks);
    for certificate in chain.certificates() {
        let said = [
            &certificate.subject,
            &certificate.issuer,
            &certificate.key,
            &certificate.signature,
        ];
        for text in said.into_iter().chain(&certificate.sans) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        certificate.days_left(datetime!(2026-01-01 00:00 UTC));
        certificate.is_self_signed();
    }
    let keys = [chain.leaf().spki.as_slice()];
    let judged = chain.judge(&Criteria {
        keys: &keys,
        names: &["agnes.example.com"],
        now: datetime!(2026-01-01 00:00 UTC),
        installed: Some(chain.leaf()),
    });
    match judged {
        Ok(key) => assert!(key == 0 && chain.leaf().covers("agnes.example.com")),
        Err(refused) => {
            let line = refused.line();
            assert!(!refused.codes().is_empty());
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}

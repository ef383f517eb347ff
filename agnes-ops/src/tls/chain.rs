//! A candidate chain: read strictly, judged whole.
//!
//! Always true: every block is a certificate that parsed; a judgement lists all reasons that apply, in the contract's
//! order; what stands outside the blocks is dropped, so nothing but certificates can reach the world-readable file.
//!
//! Does not: look for trust roots. A private CA's root is nobody's business here; what is proven is that the blocks
//! belong together, to our key, to our names and to now.

use time::{Duration, OffsetDateTime};

use super::certificate::Certificate;
use crate::outcome::one_line;

/// A chain whose blocks all parsed; the first is the leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Leaf first; never empty.
    certificates: Vec<Certificate>,
}

/// Why a chain is refused, in the order in which reasons are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A private key stands in it.
    ContainsKey,
    /// Nothing but white space.
    Empty,
    /// Some block is not a certificate that parses.
    NotPem,
    /// A later block is the leaf for our key.
    ChainOrder,
    /// The leaf is for another key.
    KeyMismatch,
    /// The leaf is a CA certificate.
    LeafIsCa,
    /// `DOMAIN` or an alias is not covered.
    SanMismatch,
    /// The leaf's extended key usage does not name serverAuth.
    NoServerAuth,
    /// A block was not issued by the next.
    ChainBroken,
    /// RSA below 2048 bits, or an unusual curve.
    WeakKey,
    /// MD5 or SHA-1.
    WeakSignature,
    /// Some block is not valid yet.
    NotYetValid,
    /// Some block has ended, or ends within 24 hours.
    Expired,
    /// Issued and expiring before the installed one.
    OlderThanInstalled,
}

impl Reason {
    /// The code in `details.reasons[]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ContainsKey => "contains-key",
            Reason::Empty => "empty",
            Reason::NotPem => "not-pem",
            Reason::ChainOrder => "chain-order",
            Reason::KeyMismatch => "key-mismatch",
            Reason::LeafIsCa => "leaf-is-ca",
            Reason::SanMismatch => "san-mismatch",
            Reason::NoServerAuth => "no-server-auth",
            Reason::ChainBroken => "chain-broken",
            Reason::WeakKey => "weak-key",
            Reason::WeakSignature => "weak-signature",
            Reason::NotYetValid => "not-yet-valid",
            Reason::Expired => "expired",
            Reason::OlderThanInstalled => "older-than-installed",
        }
    }
}

/// All that is wrong with a candidate; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Each with one clause for people, in order.
    pub findings: Vec<(Reason, String)>,
}

impl Refused {
    fn one(reason: Reason, why: impl Into<String>) -> Self {
        Self {
            findings: vec![(reason, why.into())],
        }
    }

    /// The codes, each once.
    pub fn codes(&self) -> Vec<String> {
        let mut codes: Vec<String> = self
            .findings
            .iter()
            .map(|(reason, _)| reason.as_str().to_owned())
            .collect();
        codes.dedup();
        codes
    }

    /// The clauses in one line.
    pub fn line(&self) -> String {
        self.findings
            .iter()
            .map(|(reason, why)| format!("{}: {why}", reason.as_str()))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// What a chain is judged by.
#[derive(Debug)]
pub struct Criteria<'a> {
    /// The public keys (SPKI, DER) whose private halves are here.
    pub keys: &'a [&'a [u8]],
    /// `DOMAIN` and its aliases.
    pub names: &'a [&'a str],
    /// The current time.
    pub now: OffsetDateTime,
    /// The CA certificate that is installed, unless older ones are allowed.
    pub installed: Option<&'a Certificate>,
}

/// A candidate must outlive its installation by this.
const MARGIN: Duration = Duration::hours(24);

impl Chain {
    /// Reads every block.
    ///
    /// # Errors
    /// `contains-key`, `empty` or `not-pem`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        // Before anything else, and on the bytes: a key must be seen in whatever else is broken.
        if contains(bytes, b"PRIVATE KEY-----") {
            return Err(Refused::one(
                Reason::ContainsKey,
                "a private key stands in it",
            ));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refused::one(Reason::Empty, "there is nothing in it"));
        }
        // the reader repeats what stands in the file, which may speak to terminals
        let not_pem = |why: String| Refused::one(Reason::NotPem, one_line(&why));
        let text = std::str::from_utf8(bytes).map_err(|_| not_pem("it is not text".into()))?;
        let begins = text.matches("-----BEGIN ").count();
        let ends = text.matches("-----END ").count();
        if begins == 0 {
            return Err(not_pem(describe_foreign(text)));
        }
        let blocks = pem::parse_many(text)
            .map_err(|error| not_pem(format!("a block does not parse: {error}")))?;
        if blocks.len() != begins || begins != ends {
            return Err(not_pem(format!(
                "{begins} blocks begin, {ends} end, {} parse",
                blocks.len()
            )));
        }
        let mut certificates = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.iter().enumerate() {
            let number = index + 1;
            if block.tag() != "CERTIFICATE" {
                return Err(not_pem(format!("block {number} is a {}", block.tag())));
            }
            let certificate = Certificate::from_der(block.contents());
            certificates
                .push(certificate.map_err(|why| not_pem(format!("block {number}: {why}")))?);
        }
        Ok(Self { certificates })
    }

    /// A chain of one.
    pub fn of(leaf: Certificate) -> Self {
        Self {
            certificates: vec![leaf],
        }
    }

    /// A chain as a server presents it; `None`: no certificate.
    pub fn from_certificates(certificates: Vec<Certificate>) -> Option<Self> {
        (!certificates.is_empty()).then_some(Self { certificates })
    }

    /// The leaf.
    #[expect(
        clippy::indexing_slicing,
        reason = "a chain is never empty: every constructor sees to it"
    )]
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// Leaf first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The file's bytes: the blocks and nothing else.
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        self.certificates
            .iter()
            .map(|certificate| {
                pem::encode_config(
                    &pem::Pem::new("CERTIFICATE", certificate.der.clone()),
                    config,
                )
            })
            .collect()
    }

    /// Judges the chain; `Ok` names which of the keys (by index) it is for.
    ///
    /// # Errors
    /// Every reason that applies.
    pub fn judge(&self, criteria: &Criteria<'_>) -> Result<usize, Refused> {
        let key_of = |certificate: &Certificate| {
            criteria
                .keys
                .iter()
                .position(|key| *key == certificate.spki)
        };
        let mut findings = Vec::new();
        let mut leaf = self.leaf();
        let mut key = key_of(leaf);
        if key.is_none() {
            let later =
                self.certificates
                    .iter()
                    .enumerate()
                    .skip(1)
                    .find_map(|(index, certificate)| {
                        key_of(certificate).map(|key| (index, certificate, key))
                    });
            if let Some((index, certificate, its_key)) = later {
                findings.push((
                    Reason::ChainOrder,
                    format!("block {} is the leaf for our key", index + 1),
                ));
                (leaf, key) = (certificate, Some(its_key));
            } else {
                findings.push((
                    Reason::KeyMismatch,
                    format!("the leaf {:?} is for a key that is not here", leaf.subject),
                ));
            }
        }
        judge_leaf(leaf, criteria, &mut findings);
        if leaf == self.leaf() {
            self.judge_links(&mut findings);
        }
        self.judge_each(criteria.now, &mut findings);
        if let Some(installed) = criteria.installed
            && leaf.not_before < installed.not_before
            && leaf.not_after < installed.not_after
        {
            findings.push((
                Reason::OlderThanInstalled,
                "it was issued and ends before the installed one".into(),
            ));
        }
        match key {
            Some(key) if findings.is_empty() => Ok(key),
            _ => {
                findings.sort_by_key(|(reason, _)| *reason);
                Err(Refused { findings })
            }
        }
    }

    fn judge_links(&self, findings: &mut Vec<(Reason, String)>) {
        for (below, pair) in self.certificates.windows(2).enumerate() {
            if let [certificate, issuer] = pair
                && let Err(why) =
                    certificate.issued_by(issuer, u32::try_from(below).unwrap_or(u32::MAX))
            {
                findings.push((Reason::ChainBroken, why));
            }
        }
    }

    fn judge_each(&self, now: OffsetDateTime, findings: &mut Vec<(Reason, String)>) {
        for certificate in &self.certificates {
            let subject = &certificate.subject;
            if certificate.weak_key {
                findings.push((
                    Reason::WeakKey,
                    format!("{subject:?} has a key of {}", certificate.key),
                ));
            }
            // a root's signature on itself is nobody's evidence
            let is_root = certificate.subject == certificate.issuer && certificate.is_ca;
            if certificate.weak_signature && !is_root {
                findings.push((
                    Reason::WeakSignature,
                    format!("{subject:?} is signed with {}", certificate.signature),
                ));
            }
            if certificate.not_before > now {
                findings.push((
                    Reason::NotYetValid,
                    format!("{subject:?} begins {}", rfc3339(certificate.not_before)),
                ));
            }
            if certificate.not_after < now + MARGIN {
                findings.push((
                    Reason::Expired,
                    format!("{subject:?} ends {}", rfc3339(certificate.not_after)),
                ));
            }
        }
    }
}

fn judge_leaf(leaf: &Certificate, criteria: &Criteria<'_>, findings: &mut Vec<(Reason, String)>) {
    if leaf.is_ca {
        findings.push((
            Reason::LeafIsCa,
            "the leaf's basic constraints say CA:TRUE".into(),
        ));
    }
    let missing: Vec<&str> = criteria
        .names
        .iter()
        .filter(|name| !leaf.covers(name))
        .copied()
        .collect();
    if !missing.is_empty() {
        let has = if leaf.sans.is_empty() {
            "no DNS name".to_owned()
        } else {
            leaf.sans.join(", ")
        };
        findings.push((
            Reason::SanMismatch,
            format!("it covers {has}, not {}", missing.join(", ")),
        ));
    }
    if !leaf.server_auth {
        findings.push((
            Reason::NoServerAuth,
            "the leaf's extended key usage does not name serverAuth".into(),
        ));
    }
}

fn describe_foreign(text: &str) -> String {
    let start = text
        .trim_start()
        .get(..15)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if start.starts_with("<!doctype") || start.starts_with("<html") || start.starts_with("<?xml") {
        "it is a web page, not a chain".into()
    } else {
        "there is no PEM block in it".into()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_chain_says_of_itself_is_one_line_and_speaks_to_no_terminal() {
        for foreign in [
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERT\n\u{1b}[2Jhint: run this\n-----\n",
            "-----BEGIN A\u{1b}[2J\nB-----\nAAAA\n-----END A\u{1b}[2J\nB-----\n",
        ] {
            let refused = Chain::parse(foreign.as_bytes()).unwrap_err();
            let line = refused.line();
            assert!(line.starts_with("not-pem: "), "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}

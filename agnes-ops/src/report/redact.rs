//! Taking out what must not leave the host.
//!
//! Always true: what is known to be secret goes in each spelling in which programs write it; what only looks like it goes too;
//! a person is the same person throughout one report, and another one in the next.
//!
//! Does not: understand what it reads: a secret that nobody knows and that looks like a word stays.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use regex::{Captures, Regex};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::sha256::sha256;

const REDACTED: &str = "<redacted>";

/// What looks like a secret, and what of it stays.
const PATTERNS: [(&str, &str); 6] = [
    // private keys, also one of which the end was cut off
    (
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        REDACTED,
    ),
    // JSON Web Tokens
    (
        r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
        REDACTED,
    ),
    (
        r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}",
        "$1 <redacted>",
    ),
    // name=value
    (
        r#"(?i)\b([a-z0-9_.-]*(?:password|passwd|secret|token|api_?key|credential)[a-z0-9_.-]*=)[^\s"'&;,]+"#,
        "${1}<redacted>",
    ),
    // "name": "value", also within a string of JSON
    (
        r#"(?i)("[a-z0-9_.-]*(?:password|passwd|secret|token|api_?key|credential)[a-z0-9_.-]*\\?"\s*:\s*\\?")[^"\\]+"#,
        "${1}<redacted>",
    ),
    // who signs in by a URL
    (
        r#"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@"'<>]+@"#,
        "${1}<redacted>@",
    ),
];

/// What is asked for by a URL may hold a key.
const QUERY: &str = r#"(https?://[^\s"'?<>]+\?)[^\s"'<>]+"#;
const ADDRESS: &str = r"[A-Za-z0-9._%+-]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})";
/// Ends of names that only look like addresses: units of systemd, users that nobody is.
const NOBODY: [&str; 7] = [
    "service", "timer", "socket", "mount", "target", "path", "local",
];

/// Of one report.
pub(super) struct Redactor {
    known: Vec<Zeroizing<String>>,
    patterns: Vec<(Regex, &'static str)>,
    address: Option<Regex>,
    salt: String,
}

impl Redactor {
    /// Of these values.
    pub(super) fn new(secrets: Vec<Zeroizing<String>>, salt: &[u8]) -> Self {
        let mut known = Vec::new();
        for secret in secrets {
            let bytes = secret.as_bytes();
            let json = serde_json::to_string(secret.as_str()).unwrap_or_default();
            let spellings = [
                STANDARD.encode(bytes),
                URL_SAFE_NO_PAD.encode(bytes),
                byte_serialize(bytes).collect(),
                json.trim_matches('"').to_owned(),
            ];
            let others = spellings.into_iter().filter(|one| *one != *secret);
            let others: Vec<_> = others.map(Zeroizing::new).collect();
            known.push(secret);
            known.extend(others);
        }
        let patterns = PATTERNS.into_iter().chain([(QUERY, "${1}<redacted>")]);
        Self {
            known,
            // a pattern that does not compile is a mistake that the tests find
            patterns: patterns
                .filter_map(|(pattern, kept)| Some((Regex::new(pattern).ok()?, kept)))
                .collect(),
            address: Regex::new(ADDRESS).ok(),
            salt: sha256(salt),
        }
    }

    /// The text without them, and how many places were changed.
    pub(super) fn redact(&self, text: &str) -> (String, usize) {
        let mut found = 0;
        let mut text = text.to_owned();
        for secret in &self.known {
            let places = text.matches(secret.as_str()).count();
            if places > 0 {
                found += places;
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        for (pattern, kept) in &self.patterns {
            let changed = pattern.replace_all(&text, |captures: &Captures<'_>| {
                let mut to = String::new();
                captures.expand(kept, &mut to);
                // once more is nothing new
                found += usize::from(captures.get(0).is_none_or(|whole| whole.as_str() != to));
                to
            });
            text = changed.into_owned();
        }
        if let Some(address) = &self.address {
            let changed = address.replace_all(&text, |captures: &Captures<'_>| {
                let whole = captures.get(0).map_or("", |one| one.as_str());
                let host = captures.get(1).map_or("", |one| one.as_str());
                let last = host.rsplit('.').next().unwrap_or_default();
                if NOBODY.contains(&last) {
                    return whole.to_owned();
                }
                found += 1;
                let who = sha256(format!("{} {}", self.salt, whole.to_lowercase()).as_bytes());
                format!("person-{}@{host}", who.get(..8).unwrap_or_default())
            });
            text = changed.into_owned();
        }
        (text, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t/+with \"odd\" chars";

    fn redactor() -> Redactor {
        Redactor::new(vec![Zeroizing::new(SECRET.to_owned())], b"salt")
    }

    #[test]
    fn every_pattern_compiles() {
        let redactor = redactor();
        assert_eq!(redactor.patterns.len(), PATTERNS.len() + 1);
        assert!(redactor.address.is_some());
    }

    #[test]
    fn a_known_secret_goes_in_every_spelling() {
        let redactor = redactor();
        let spellings = [
            SECRET.to_owned(),
            STANDARD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
            byte_serialize(SECRET.as_bytes()).collect(),
            serde_json::to_string(SECRET).unwrap(),
        ];
        for spelling in spellings {
            let (text, found) = redactor.redact(&format!("before {spelling} after"));
            assert!(!text.contains(spelling.trim_matches('"')), "{text}");
            assert!(
                found > 0 && text.starts_with("before ") && text.ends_with(" after"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_looks_like_a_secret_goes_and_what_does_not_stays() {
        let redactor = redactor();
        for (text, wanted) in [
            (
                "Authorization: Bearer abcdef123",
                "Authorization: Bearer <redacted>",
            ),
            (
                "x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig y",
                "x <redacted> y",
            ),
            ("DB_PASSWORD=hunter2 next", "DB_PASSWORD=<redacted> next"),
            (
                r#"{"api_token": "abc", "tokens_revoked": 3}"#,
                r#"{"api_token": "<redacted>", "tokens_revoked": 3}"#,
            ),
            (
                "postgres://user:pw@db.example.com/x",
                "postgres://<redacted>@db.example.com/x",
            ),
            (
                "GET https://example.com/a?key=1&b=2 200",
                "GET https://example.com/a?<redacted> 200",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nrest",
                "<redacted>\nrest",
            ),
            ("-----BEGIN PRIVATE KEY-----\nabc", "<redacted>"),
            (
                "secrets.missing: JWT_SECRET_KEY is not there",
                "secrets.missing: JWT_SECRET_KEY is not there",
            ),
            (
                "agnes-alert@agnes-upgrade.service failed",
                "agnes-alert@agnes-upgrade.service failed",
            ),
            ("probe@system.local", "probe@system.local"),
            (
                "registry.example.com/agnes@sha256:00ff",
                "registry.example.com/agnes@sha256:00ff",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nabc",
                "-----BEGIN CERTIFICATE-----\nabc",
            ),
        ] {
            assert_eq!(redactor.redact(text).0, wanted);
            let once = redactor.redact(text).0;
            assert_eq!(redactor.redact(&once), (once.clone(), 0), "twice");
        }
    }

    #[test]
    fn a_person_is_one_person_in_one_report_and_another_in_the_next() {
        let one = redactor();
        let text = |redactor: &Redactor, text: &str| redactor.redact(text).0;
        let (first, again) = (
            text(&one, "jane.doe@example.com"),
            text(&one, "Jane.Doe@example.com"),
        );
        assert_eq!(first, again);
        assert!(
            first.starts_with("person-") && first.ends_with("@example.com"),
            "{first}"
        );
        assert_ne!(first, text(&one, "john@example.com"));
        let next = Redactor::new(Vec::new(), b"other");
        assert_ne!(first, text(&next, "jane.doe@example.com"));
    }
}

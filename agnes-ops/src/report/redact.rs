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

use crate::sha256::{hex, sha256};

const REDACTED: &str = "<redacted>";

/// Names behind which there is a secret.
const NAMES: &str = r"[A-Za-z0-9_.-]*(?i:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|credential|authorization|cookie|salt)[A-Za-z0-9_.-]*";

/// What looks like a secret, and what of it stays; `NAME` is [`NAMES`].
const PATTERNS: [(&str, &str); 14] = [
    // private keys, also one of which the end or the beginning was cut off
    (
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        REDACTED,
    ),
    (
        r"(?:[A-Za-z0-9+/=]{16,}\s+)*-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----",
        REDACTED,
    ),
    // JSON Web Tokens; our personal tokens, and refresh tokens
    (
        r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
        REDACTED,
    ),
    (r"\bagp_[A-Za-z0-9]{8,}", REDACTED),
    (
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9a-f]{16,}(?:\.[0-9a-f]{16,})?",
        REDACTED,
    ),
    // tokens of others, by how they begin
    (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,}|xox[a-z]-[A-Za-z0-9-]{8,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{8,})",
        REDACTED,
    ),
    (
        r"(https://hooks\.[A-Za-z0-9.-]+/)[^\s\x22'<>]+",
        "${1}<redacted>",
    ),
    // headers
    (
        r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(\\?[\x22']?\s*[:=]\s*\\?[\x22']?)[^\r\n\x22'\\]+",
        "$1$2<redacted>",
    ),
    (
        r"(?i)\b(bearer|basic|digest)(?:\s+|%20)[A-Za-z0-9._~+/=-]{6,}",
        "$1 <redacted>",
    ),
    // name=value, name="value", --name value
    (
        r"(NAME\s?=\s?)(?:\x22[^\x22]*\x22|'[^']*'|[^\s\x22'&;]+)",
        "${1}<redacted>",
    ),
    (r"(--NAME\s+)[^\s\x22'-][^\s\x22']*", "${1}<redacted>"),
    // "name": "value", also within a string of JSON; name: "value"
    (
        r"(\\*[\x22']?NAME\\*[\x22']?\s*:\s*\\*[\x22'])(?:[^\x22'\\]|\\+[^\x22'\\]|\\\x22[^\x22,}\]]*)+",
        "${1}<redacted>",
    ),
    (r"(?i)(\x22auth\x22\s*:\s*\x22)[^\x22]+", "${1}<redacted>"),
    // who signs in by a URL
    (
        r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@\x22'<>]+@",
        "${1}<redacted>@",
    ),
];

/// What is asked for by a URL, whole or from its root, may hold a key.
const QUERY: &str = r"((?:[a-z]+://|\s/|\x22/)[^\s\x22'?<>#]+[?#])[^\s\x22'<>]+";
const ADDRESS: &str =
    r"[\p{L}\p{N}._%+-]+@([\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}|localhost)";
/// Ends of names that only look like addresses: units of systemd.
const UNITS: [&str; 6] = ["service", "timer", "socket", "mount", "target", "path"];
/// Users that nobody is.
const NOBODY: &str = "system.local";

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
                hex(bytes),
                secret.to_uppercase(),
                secret
                    .replace('&', "\\u0026")
                    .replace('<', "\\u003c")
                    .replace('>', "\\u003e"),
                byte_serialize(bytes).collect::<String>().to_lowercase(),
            ];
            let others = spellings.into_iter().filter(|one| *one != *secret);
            let others: Vec<_> = others.map(Zeroizing::new).collect();
            known.push(secret);
            known.extend(others);
        }
        let patterns = PATTERNS.into_iter().chain([(QUERY, "${1}<redacted>")]);
        let compiled = |pattern: &str| Regex::new(&pattern.replace("NAME", NAMES)).ok();
        Self {
            known,
            // a pattern that does not compile is a mistake that the tests find
            patterns: patterns
                .filter_map(|(pattern, kept)| Some((compiled(pattern)?, kept)))
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
                if UNITS.contains(&last) || host == NOBODY {
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
                "Authorization: <redacted>",
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
    fn nothing_of_it_is_left_in_the_ways_in_which_programs_write_secrets() {
        let redactor = redactor();
        for text in [
            "token agp_0123456789planted",
            "refresh 01a2207b-9e24-77a3-a84b-0c58de0bf823.00112233445566778899aabbplanted"
                .trim_end_matches("planted"),
            "Cookie: session=planted; b=planted",
            "set-cookie: agnes=planted; Secure",
            "GET /auth/callback?code=planted&state=planted 302",
            "wss://example.com/socket?key=planted",
            "https://example.com/auth/magic/verify#planted",
            "MIIEvplantedplantedplanted\nplantedplantedplanted==\n-----END PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nplanted\n-----END PGP PRIVATE KEY BLOCK-----",
            "password = planted",
            "DB_PASSWORD=\"planted planted\"",
            "X_SECRET='planted'",
            "--password planted",
            "'password': 'planted'",
            "Config { password: \"planted\" }",
            r#"{"password": "planted\"planted"}"#,
            r#"{\"api_key\": \"planted\"}"#,
            "password=planted,planted",
            "X-Api-Key: planted",
            "Authorization: token planted",
            "Bearer%20plantedplanted",
            r#""auths":{"registry.example.com":{"auth":"cGxhbnRlZA==planted"}}"#,
            "remote ghp_plantedplantedplanted0",
            "key AKIAPLANTEDPLANTED0",
            "xoxb-planted-planted",
            "post https://hooks.example.com/services/planted/planted",
            "GRAFANA_ADMIN_PASS=planted MYSQL_PWD=planted",
        ] {
            let (redacted, found) = redactor.redact(text);
            assert!(
                found > 0 && !redacted.to_lowercase().contains("planted"),
                "{text} -> {redacted}"
            );
        }
        for person in [
            "Jürgen.müller@example.com",
            "vic@exämple.com",
            "jane.doe@localhost",
            "bob@mail.local",
        ] {
            let (redacted, _) = redactor.redact(person);
            assert!(redacted.starts_with("person-"), "{redacted}");
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

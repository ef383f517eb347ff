//! `tls inspect`: what a person wants to know of a chain, in a file or behind a port.
//!
//! Always true: works without a deployment; a private key found in a file is named, never shown.
//!
//! Does not: judge against this host's key or names.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::certificate::Certificate;
use super::chain::{Chain, Criteria};
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Refusal, Report};
use crate::served::{Served, look};

/// How long the other side may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Inspects a file, or what `host:port` presents.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn inspect(host: &Host, target: &str, server_name: Option<&str>) -> Result<Report> {
    let path = Path::new(target);
    let refused = |reason: &str, message: String| {
        Ok(Report::refused(Exit::Failed, Refusal::new(reason, message)))
    };
    let chain = if path.exists() {
        let bytes = host.read(path).with_context(|| format!("{target}: read"))?;
        match Chain::parse(&bytes.unwrap_or_default()) {
            Ok(chain) => chain,
            Err(why) => {
                let mut refusal = Refusal::new("", format!("{target}: {}", why.line()));
                refusal.reasons = why.codes();
                return Ok(Report::refused(Exit::Failed, refusal));
            }
        }
    } else if let Some((name, port)) = target
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
    {
        let name = server_name.unwrap_or(name.trim_start_matches('[').trim_end_matches(']'));
        let _ = port;
        match look(target, name, DEADLINE) {
            Served::Chain(ders) => {
                let parsed: Result<Vec<Certificate>, String> =
                    ders.iter().map(|der| Certificate::from_der(der)).collect();
                match parsed.map(Chain::from_certificates) {
                    Ok(Some(chain)) => chain,
                    Ok(None) => {
                        return refused("empty", format!("{target}: no certificate is presented"));
                    }
                    Err(why) => return refused("not-pem", format!("{target}: {why}")),
                }
            }
            Served::Nothing => {
                return refused(
                    "nothing-listens",
                    format!("{target}: nothing listens there"),
                );
            }
            Served::Failed(why) => return refused("handshake-failed", format!("{target}: {why}")),
        }
    } else {
        return refused(
            "not-found",
            format!("{target}: no such file, and not HOST:PORT"),
        );
    };
    Ok(describe(&chain, target, host.now()))
}

fn describe(chain: &Chain, target: &str, now: OffsetDateTime) -> Report {
    let leaf = chain.leaf();
    // judged by itself: its own key and names, so that only what any client would object to remains
    let keys = [leaf.spki.as_slice()];
    let judged = chain.judge(&Criteria {
        keys: &keys,
        names: &[],
        now,
        installed: None,
    });
    let mut lines = Vec::new();
    for (index, certificate) in chain.certificates().iter().enumerate() {
        let role = match (index, certificate.is_ca) {
            (0, false) => "leaf",
            (0, true) => "leaf (a CA certificate)",
            _ if certificate.is_self_signed() => "root",
            _ => "issuer",
        };
        lines.push(format!("{}. {role}: {}", index + 1, certificate.subject));
        lines.push(format!("   issued by  {}", certificate.issuer));
        if !certificate.sans.is_empty() {
            lines.push(format!("   covers     {}", certificate.sans.join(", ")));
        }
        lines.push(format!(
            "   valid      {} to {} ({} days left)",
            format_time(certificate.not_before),
            format_time(certificate.not_after),
            certificate.days_left(now)
        ));
        lines.push(format!(
            "   key        {}, signed with {}",
            certificate.key, certificate.signature
        ));
        lines.push(format!("   sha256     {}", certificate.sha256));
    }
    let reasons = judged
        .as_ref()
        .err()
        .map(|refused| refused.codes())
        .unwrap_or_default();
    match &judged {
        Ok(_) => lines.push("nothing is wrong with it by itself".into()),
        Err(refused) => lines.push(format!("a client would object: {}", refused.line())),
    }
    let chain: Vec<Value> = chain
        .certificates()
        .iter()
        .map(|certificate| to_json(certificate, now))
        .collect();
    Report::ok(Outcome::Unchanged, lines.join("\n"))
        .detail("target", target)
        .detail("cert", super::report::certificate(leaf, now))
        .detail("chain", chain)
        .detail("reasons", reasons)
}

fn to_json(certificate: &Certificate, now: OffsetDateTime) -> Value {
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "sha256": certificate.sha256,
        "not_before": format_time(certificate.not_before),
        "not_after": format_time(certificate.not_after),
        "days_left": certificate.days_left(now),
        "sans": certificate.sans,
        "ca": certificate.is_ca,
        "server_auth": certificate.server_auth,
        "key": certificate.key,
        "signature": certificate.signature,
    })
}

fn format_time(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

//! How the state of the certificates is told: one set of fields for every `tls` command, and one sentence for people.
//!
//! Always true: `sha256` is of the leaf's DER, lower-case hex; times are RFC 3339 UTC; no key byte is in reach here.
//!
//! Does not: look at anything; it is given what was seen.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::certificate::Certificate;
use super::generations::{Disk, Pair, Store};
use super::reload::{Convergence, Proof};
use super::source::Sources;
use crate::deployment::Deployment;

/// The contract's `details`, but for `fetch`.
pub fn details(
    deployment: Deployment<'_>,
    store: &Store,
    disk: &Disk,
    convergence: Option<&Convergence>,
    now: OffsetDateTime,
) -> Map<String, Value> {
    let leaf = leaf_of(disk);
    let proof = convergence.map_or_else(|| unlooked(deployment), |seen| seen.proof);
    let mut details = Map::new();
    details.insert(
        "cert".into(),
        leaf.map_or(Value::Null, |leaf| certificate(leaf, now)),
    );
    details.insert(
        "served".into(),
        convergence.map_or(Value::Null, Convergence::served_json),
    );
    details.insert("proof".into(), proof.as_str().into());
    let no_reload = || json!({"tried": [], "by": null, "took_ms": null});
    details.insert(
        "reload".into(),
        convergence.map_or_else(no_reload, Convergence::reload_json),
    );
    details.insert("csr".into(), request(deployment, store, disk));
    details.insert("generation".into(), disk.current.into());
    details.insert("pending_keys".into(), disk.pending.len().into());
    details
}

/// Without anything installed nothing was looked for.
fn unlooked(deployment: Deployment<'_>) -> Proof {
    match deployment.settings.tls.served_address {
        agnes_config::ServedAddress::Off => Proof::Off,
        agnes_config::ServedAddress::At(_) => Proof::NothingListens,
    }
}

fn leaf_of(disk: &Disk) -> Option<&Certificate> {
    disk.pair
        .as_ref()?
        .chain
        .as_ref()
        .ok()
        .map(|chain| chain.leaf())
}

fn request(deployment: Deployment<'_>, store: &Store, disk: &Disk) -> Value {
    match &disk.request {
        Some(Ok(request)) if deployment.settings.tls.privkey_url.is_none() => {
            json!({"path": store.request_path(), "sha256": request.sha256})
        }
        _ => Value::Null,
    }
}

/// `details.cert`.
pub fn certificate(leaf: &Certificate, now: OffsetDateTime) -> Value {
    json!({
        "source": if leaf.is_self_signed() { "self-signed" } else { "ca" },
        "sha256": leaf.sha256,
        "not_before": leaf.not_before.format(&Rfc3339).unwrap_or_default(),
        "not_after": leaf.not_after.format(&Rfc3339).unwrap_or_default(),
        "days_left": leaf.days_left(now),
        "subject": leaf.subject,
        "sans": leaf.sans,
    })
}

/// What is installed and served, in one line.
pub fn sentence(
    disk: &Disk,
    convergence: Option<&Convergence>,
    sources: &Sources,
    now: OffsetDateTime,
) -> String {
    let installed = match disk.pair.as_ref().map(|pair| (pair.broken(), pair)) {
        None => "no certificate is installed".to_owned(),
        Some((Some(why), _)) => format!("the installed pair is broken: {why}"),
        Some((None, pair)) => match pair.sound() {
            Some((_, chain)) => {
                let leaf = chain.leaf();
                let kind = if leaf.is_self_signed() {
                    "bridge (self-signed)"
                } else {
                    "CA certificate"
                };
                let short = leaf.sha256.get(..12).unwrap_or_default();
                format!(
                    "{kind} {short} for {}, {} days left",
                    leaf.sans.join(", "),
                    leaf.days_left(now)
                )
            }
            None => "no certificate is installed".to_owned(),
        },
    };
    let served = convergence
        .map(|seen| format!("; {}", seen.seen))
        .unwrap_or_default();
    let by = convergence
        .and_then(|seen| seen.by.as_ref())
        .map(|way| format!(" after {} {}", way.kind, way.target));
    let source = match sources.failure() {
        Some("not-published") => "; nothing is published yet".to_owned(),
        Some(reason) => format!("; the source: {reason}"),
        None => String::new(),
    };
    format!("{installed}{served}{}{source}", by.unwrap_or_default())
}

/// The installed pair, when it works.
pub fn sound(disk: &Disk) -> Option<&Certificate> {
    disk.pair
        .as_ref()
        .and_then(Pair::sound)
        .map(|(_, chain)| chain.leaf())
}

/// SHA-256 of the installed leaf.
pub fn leaf_sha256(disk: &Disk) -> Option<String> {
    leaf_of(disk).map(|leaf| leaf.sha256.clone())
}

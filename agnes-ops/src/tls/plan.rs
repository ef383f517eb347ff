//! What a rotation shall do, decided from values alone.
//!
//! Always true: a CA certificate is never replaced by a bridge, whatever the source says; the same situation gives the
//! same plan; what the plan does not name is not touched.
//!
//! Does not: read or write anything.

use agnes_config::KeyType;
use time::{Duration, OffsetDateTime};

use super::certificate::Certificate;
use super::chain::{Chain, Criteria, Refused};
use super::generations::{Disk, Pair};
use super::key::PrivateKey;
use super::request::{BRIDGE_LIFE, Identity};
use crate::fetch::{Failure, Reason};
use crate::outcome::Refusal;

/// All that a decision rests on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// What the certificate shall say.
    pub identity: &'a Identity,
    /// The kind of key wanted; `None`: any sound one, RSA-2048 for a new one.
    pub key_type: Option<KeyType>,
    /// The current time.
    pub now: OffsetDateTime,
    /// What is on disk.
    pub disk: &'a Disk,
    /// What came of the key's source.
    pub key: KeySource,
    /// What came of the chain's source.
    pub chain: ChainSource,
    /// Accept a chain older than the installed one.
    pub allow_older: bool,
    /// Make key, request and bridge although no chain is published anywhere (`up`).
    pub ensure: bool,
}

/// Where the key comes from.
#[derive(Debug)]
pub enum KeySource {
    /// Made here; it never leaves.
    Host,
    /// Fetched.
    Fetched(PrivateKey),
    /// To be fetched, and was not.
    Failed(Failure),
    /// Fetched, and not usable: why.
    Refused(String),
}

/// What came of the chain's source.
#[derive(Debug)]
pub enum ChainSource {
    /// `TLS_FULLCHAIN_URL` is not set.
    Nowhere,
    /// Fetched and read.
    Fetched(Chain),
    /// The source says: as last time.
    NotModified,
    /// Fetched, and not a chain.
    Refused(Refused),
    /// Not fetched.
    Failed(Failure),
}

/// A key by where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRef {
    /// To be made.
    New(KeyType),
    /// `pending/<n>.pem`.
    Pending(u64),
    /// The current generation's.
    Current,
    /// A generation's that is kept for the way back.
    Kept(u64),
    /// The one that was fetched.
    Fetched,
}

/// A generation to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// A CA's chain.
    Chain(Chain, KeyRef),
    /// A bridge.
    Bridge(KeyRef),
}

/// The decision.
#[derive(Debug)]
pub struct Plan {
    /// A key to make and keep as pending.
    pub new_key: Option<KeyType>,
    /// The key `cert.csr` shall be made for, when it must be made.
    pub request: Option<KeyRef>,
    /// The next generation, when there shall be one.
    pub install: Option<Install>,
    /// How the command ends, as far as the source is concerned.
    pub verdict: Result<(), Refusal>,
}

impl Plan {
    /// The plan's lines, as `--dry-run` prints them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(kind) = self.new_key {
            lines.push(format!("make an {} key", name_of(kind)));
        }
        if self.request.is_some() {
            lines.push("write cert.csr".to_owned());
        }
        match &self.install {
            Some(Install::Chain(chain, _)) => {
                lines.push(format!(
                    "install the chain of {} as the next generation",
                    chain.leaf().subject
                ));
            }
            Some(Install::Bridge(_)) => {
                lines.push("install a 30-day bridge certificate as the next generation".into());
            }
            None => {}
        }
        lines
    }
}

fn name_of(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Rsa2048 => "rsa-2048",
        KeyType::Rsa3072 => "rsa-3072",
        KeyType::Rsa4096 => "rsa-4096",
        KeyType::EcdsaP256 => "ecdsa-p256",
        KeyType::EcdsaP384 => "ecdsa-p384",
    }
}

/// A failed fetch is an alarm when the installed certificate has no more than this left.
pub fn alarm_threshold(leaf: &Certificate) -> Duration {
    Duration::min(leaf.life() / 3_i32, Duration::days(21))
}

/// Decides.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let idle = matches!(situation.chain, ChainSource::Nowhere) && !situation.ensure;
    let installed = situation.disk.pair.as_ref().and_then(Pair::sound);
    let desired = desired_key(situation);
    let (chain, refusal) = judge(situation, installed);
    let mut plan = Plan {
        new_key: None,
        request: None,
        install: chain,
        verdict: refusal.map_or(Ok(()), Err),
    };
    if idle {
        // Nothing to rotate. But a bridge that was made here stays alive as long as it is what is served.
        let aging = installed.is_some_and(|(_, chain)| {
            chain.leaf().is_self_signed() && needs_renewal(chain.leaf(), situation.now)
        });
        if let (true, Some(desired)) = (aging, desired) {
            plan.install = Some(Install::Bridge(desired));
        }
    } else {
        if plan.install.is_none() && installed.is_none() {
            plan.install = kept_chain(situation);
        }
        if plan.install.is_none() && bridge_is_due(situation, installed, desired) {
            match desired {
                Some(desired) => plan.install = Some(Install::Bridge(desired)),
                None if plan.verdict.is_ok() => plan.verdict = Err(no_key(situation)),
                None => {}
            }
        }
        // the key of a broken pair is not the one to ask for when a working one takes its place
        let asked = match &plan.install {
            Some(Install::Chain(_, key))
                if installed.is_none() && situation.disk.pending.is_empty() =>
            {
                Some(*key)
            }
            _ => desired,
        };
        plan.request = asked.filter(|key| request_is_stale(situation, *key));
    }
    let uses = [plan.request, plan.install.as_ref().map(Install::key)];
    plan.new_key = uses.into_iter().flatten().find_map(|key| match key {
        KeyRef::New(kind) => Some(kind),
        _ => None,
    });
    plan
}

impl Install {
    /// The key of the generation.
    pub fn key(&self) -> KeyRef {
        match self {
            Install::Chain(_, key) | Install::Bridge(key) => *key,
        }
    }
}

/// The key that the next certificate shall be for; `None`: a provisioned one that is not here.
fn desired_key(situation: &Situation<'_>) -> Option<KeyRef> {
    let fits =
        |key: &PrivateKey| !key.too_small && situation.key_type.is_none_or(|kind| key.is(kind));
    let current = situation
        .disk
        .pair
        .as_ref()
        .and_then(|pair| pair.key.as_ref().ok());
    match &situation.key {
        KeySource::Fetched(key) => (!key.too_small).then_some(KeyRef::Fetched),
        KeySource::Failed(_) | KeySource::Refused(_) => current.map(|_| KeyRef::Current),
        KeySource::Host => {
            let newest = situation.disk.pending.last().filter(|(_, key)| fits(key));
            let new = KeyRef::New(situation.key_type.unwrap_or(KeyType::Rsa2048));
            let kept = current.filter(|key| fits(key)).map(|_| KeyRef::Current);
            Some(
                newest
                    .map(|(number, _)| KeyRef::Pending(*number))
                    .or(kept)
                    .unwrap_or(new),
            )
        }
    }
}

/// The key itself, when it is already there.
pub fn resolve<'a>(situation: &'a Situation<'_>, key: KeyRef) -> Option<&'a PrivateKey> {
    match key {
        KeyRef::New(_) => None,
        KeyRef::Pending(number) => situation
            .disk
            .pending
            .iter()
            .find(|(pending, _)| *pending == number)
            .map(|(_, key)| key),
        KeyRef::Current => situation.disk.pair.as_ref()?.key.as_ref().ok(),
        KeyRef::Kept(number) => {
            let kept = situation
                .disk
                .kept
                .iter()
                .find(|(kept, ..)| *kept == number);
            kept.map(|(_, key, _)| key)
        }
        KeyRef::Fetched => match &situation.key {
            KeySource::Fetched(key) => Some(key),
            _ => None,
        },
    }
}

/// The chain to install, if any, and what is wrong with the source, if anything.
fn judge(
    situation: &Situation<'_>,
    installed: Option<(&PrivateKey, &Chain)>,
) -> (Option<Install>, Option<Refusal>) {
    match &situation.key {
        KeySource::Failed(failure) => {
            return (None, fetch_refusal(failure, installed, situation.now));
        }
        KeySource::Refused(why) => {
            let message = format!("private key refused: {why}; what is installed stays");
            return (None, Some(Refusal::new("malformed", message)));
        }
        KeySource::Host | KeySource::Fetched(_) => {}
    }
    let candidate = match &situation.chain {
        ChainSource::Nowhere => return (None, None),
        ChainSource::Failed(failure) => {
            return (None, fetch_refusal(failure, installed, situation.now));
        }
        ChainSource::Refused(refused) => return (None, Some(chain_refusal(refused))),
        ChainSource::Fetched(chain) => chain,
        ChainSource::NotModified => match installed {
            Some((_, chain)) => chain,
            None => return (None, None),
        },
    };
    let keys = candidate_keys(situation);
    let spkis: Vec<&[u8]> = keys.iter().map(|(_, key)| key.spki.as_slice()).collect();
    let names: Vec<&str> = situation
        .identity
        .names
        .iter()
        .map(String::as_str)
        .collect();
    let same = installed
        .is_some_and(|(key, chain)| chain == candidate && spkis.contains(&key.spki.as_slice()));
    let newer_than = installed
        .map(|(_, chain)| chain.leaf())
        .filter(|leaf| !same && !situation.allow_older && !leaf.is_self_signed());
    let criteria = Criteria {
        keys: &spkis,
        names: &names,
        now: situation.now,
        installed: newer_than,
    };
    match candidate.judge(&criteria) {
        Err(refused) => (None, Some(chain_refusal(&refused))),
        Ok(_) if same => (None, None),
        Ok(index) => {
            let key = keys.get(index).map(|(key, _)| *key);
            (key.map(|key| Install::Chain(candidate.clone(), key)), None)
        }
    }
}

/// Every key a chain may be for.
fn candidate_keys<'a>(situation: &'a Situation<'_>) -> Vec<(KeyRef, &'a PrivateKey)> {
    let wanted: Vec<KeyRef> = match situation.key {
        KeySource::Fetched(_) => vec![KeyRef::Fetched],
        _ => {
            let pending = situation
                .disk
                .pending
                .iter()
                .rev()
                .map(|(number, _)| KeyRef::Pending(*number));
            // a key that was damaged in the current generation may still stand in the one before it
            let kept = situation
                .disk
                .kept
                .iter()
                .map(|(number, ..)| KeyRef::Kept(*number));
            pending.chain([KeyRef::Current]).chain(kept).collect()
        }
    };
    wanted
        .into_iter()
        .filter_map(|key| resolve(situation, key).map(|found| (key, found)))
        .collect()
}

/// The newest kept generation that would still serve: better than a bridge when the current pair is broken.
fn kept_chain(situation: &Situation<'_>) -> Option<Install> {
    let names: Vec<&str> = situation
        .identity
        .names
        .iter()
        .map(String::as_str)
        .collect();
    situation.disk.kept.iter().find_map(|(number, key, chain)| {
        let keys = [key.spki.as_slice()];
        let criteria = Criteria {
            keys: &keys,
            names: &names,
            now: situation.now,
            installed: None,
        };
        let signed = !chain.leaf().is_self_signed();
        (signed && chain.judge(&criteria).is_ok())
            .then(|| Install::Chain(chain.clone(), KeyRef::Kept(*number)))
    })
}

fn request_is_stale(situation: &Situation<'_>, key: KeyRef) -> bool {
    if !matches!(situation.key, KeySource::Host) {
        return false;
    }
    let Some(key) = resolve(situation, key) else {
        return true;
    };
    !matches!(&situation.disk.request, Some(Ok(request)) if request.spki == key.spki && request.asks_for(situation.identity))
}

fn bridge_is_due(
    situation: &Situation<'_>,
    installed: Option<(&PrivateKey, &Chain)>,
    desired: Option<KeyRef>,
) -> bool {
    let Some((key, chain)) = installed else {
        return true;
    };
    let leaf = chain.leaf();
    if !leaf.is_self_signed() {
        return false;
    }
    let other_key = match desired {
        Some(KeyRef::New(_)) => true,
        Some(desired) => {
            resolve(situation, desired).is_some_and(|desired| desired.spki != key.spki)
        }
        None => false,
    };
    let uncovered = situation
        .identity
        .names
        .iter()
        .any(|name| !leaf.covers(name));
    other_key || uncovered || leaf.is_ca || !leaf.server_auth || needs_renewal(leaf, situation.now)
}

/// A third of its life before it ends.
fn needs_renewal(leaf: &Certificate, now: OffsetDateTime) -> bool {
    leaf.not_after - now < Duration::min(leaf.life() / 3_i32, BRIDGE_LIFE / 3_i32)
}

fn chain_refusal(refused: &Refused) -> Refusal {
    let message = format!("chain refused: {}; what is installed stays", refused.line());
    Refusal {
        reasons: refused.codes(),
        message,
        hint: hint_for(&refused.codes()),
    }
}

fn hint_for(codes: &[String]) -> Option<String> {
    let hint = match codes.first()?.as_str() {
        "contains-key" => "publish the certificates alone, and treat that key as compromised",
        "chain-order" => "publish the leaf first, then its issuers in order",
        "key-mismatch" => "the CA must sign certs/cert.csr of this host as it is now",
        "san-mismatch" => "submit certs/cert.csr again: it names every DNS name that is wanted",
        "older-than-installed" => "if it is meant: agnes-ops tls rotate --allow-older",
        "expired" => "ask the CA for a new certificate over certs/cert.csr",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Whether a failed fetch is an alarm, by what is installed and how long it still serves.
fn fetch_refusal(
    failure: &Failure,
    installed: Option<(&PrivateKey, &Chain)>,
    now: OffsetDateTime,
) -> Option<Refusal> {
    let leaf = installed.map(|(_, chain)| chain.leaf());
    let signed = leaf.filter(|leaf| !leaf.is_self_signed());
    let bearable = match (failure.reason, signed) {
        (Reason::NotPublished, None) => true,
        (Reason::NotPublished | Reason::Transient, Some(leaf)) => {
            leaf.not_after - now > alarm_threshold(leaf)
        }
        _ => false,
    };
    if bearable {
        return None;
    }
    let left = match signed {
        Some(leaf) => format!("what is installed stays, {} days left", leaf.days_left(now)),
        None => "what is installed stays".to_owned(),
    };
    let mut refusal = Refusal::new(failure.reason.as_str(), format!("{failure}; {left}"));
    refusal.hint.clone_from(&failure.hint);
    Some(refusal)
}

fn no_key(situation: &Situation<'_>) -> Refusal {
    match &situation.key {
        KeySource::Failed(failure) => {
            let mut refusal = Refusal::new(
                failure.reason.as_str(),
                format!("{failure}; there is no key to serve with"),
            );
            refusal.hint.clone_from(&failure.hint);
            refusal
        }
        _ => Refusal::new("malformed", "there is no key to serve with"),
    }
}

#[cfg(test)]
mod tests;

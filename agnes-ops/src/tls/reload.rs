//! Reloading, and the proof of it: a way counts when the served leaf is the installed one.
//!
//! Always true: ways are tried in order, the one that last worked first; each has five seconds to prove itself; a
//! process is looked at before it is signalled, and never gets a signal that would end it.
//!
//! Does not: change anything under `certs/`.

mod admin;
mod ways;

use std::time::{Duration, Instant};

use agnes_config::{ReloadWay, ServedAddress, Settings};
use serde_json::json;

use crate::compose::Missing;
use crate::host::Host;
use crate::served::{Served, look};
use crate::sha256::sha256;

pub use ways::name;
use ways::{describe, request};

/// What a way has to prove itself.
const PROOF: Duration = Duration::from_secs(5);
/// When a way that can be repeated is asked once more: a proxy that read one file before the flip and one after it
/// keeps its old pair and has forgotten the first request.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// One handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// What is known about what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The expected leaf.
    Served,
    /// `TLS_SERVED_ADDRESS=none`.
    Off,
    /// Nobody listens there.
    NothingListens,
    /// Another leaf, or no handshake.
    Failed,
}

impl Proof {
    /// The word in `details.proof`.
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Served => "served",
            Proof::Off => "off",
            Proof::NothingListens => "nothing-listens",
            Proof::Failed => "failed",
        }
    }
}

/// One way that was tried.
#[derive(Debug, Clone)]
pub struct Tried {
    /// `signal`, `caddy-admin`, `command` or `restart`.
    pub kind: &'static str,
    /// Its target, for people.
    pub target: String,
    /// Which of the configured ways it is, across runs.
    pub name: String,
    /// `proven`, `requested` (asked, and nothing can show what came of it), `unproven`, `failed` or `absent`.
    pub result: &'static str,
    /// Why not.
    pub why: Option<String>,
}

/// Where an attempt to make the served leaf the installed one ended.
#[derive(Debug, Clone)]
pub struct Convergence {
    /// What is known now.
    pub proof: Proof,
    /// Address and SHA-256 of the leaf that is served; `None`: none, or not looked at.
    pub served: Option<(String, String)>,
    /// Ways tried, in order.
    pub tried: Vec<Tried>,
    /// The way that proved itself.
    pub by: Option<Tried>,
    /// What the last look saw, when it was not a leaf.
    pub seen: String,
    /// Milliseconds until a way had proven itself, counted from before the first look, which follows the flip.
    pub took_ms: Option<u64>,
}

impl Convergence {
    /// The server is about to be started; whoever starts it looks.
    pub fn not_yet() -> Self {
        Self {
            proof: Proof::NothingListens,
            served: None,
            tried: Vec::new(),
            by: None,
            seen: "the server is not started yet".into(),
            took_ms: None,
        }
    }

    /// Nothing contradicts the installed pair: it is served, or nobody could be asked and nobody listens.
    pub fn holds(&self) -> bool {
        let asked = self.tried.iter().any(|tried| tried.result != "absent");
        match self.proof {
            Proof::Served | Proof::Off => true,
            Proof::NothingListens => !asked,
            Proof::Failed => false,
        }
    }

    /// Some way was there, and none could be asked.
    pub fn could_not_ask(&self) -> bool {
        let is = |wanted: &[&str]| {
            self.tried
                .iter()
                .any(|tried| wanted.contains(&tried.result))
        };
        is(&["failed"]) && !is(&["proven", "requested", "unproven"])
    }

    /// `details.reload`.
    pub fn reload_json(&self) -> serde_json::Value {
        let tried: Vec<_> = self
            .tried
            .iter()
            .map(|tried| json!({"kind": tried.kind, "target": tried.target, "result": tried.result, "why": tried.why}))
            .collect();
        json!({"tried": tried, "by": self.by.as_ref().map(|way| way.kind), "took_ms": self.took_ms})
    }

    fn since(mut self, started: Instant) -> Self {
        let took = u64::try_from(started.elapsed().as_millis()).ok();
        self.took_ms = took.filter(|_| self.by.is_some());
        self
    }

    /// `details.served`.
    pub fn served_json(&self) -> serde_json::Value {
        self.served.as_ref().map_or(
            serde_json::Value::Null,
            |(address, sha256)| json!({"address": address, "sha256": sha256}),
        )
    }

    /// The ways and what came of them, in one clause.
    pub fn clause(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|tried| match &tried.why {
                Some(why) => format!("{} {}: {} ({why})", tried.kind, tried.target, tried.result),
                None => format!("{} {}: {}", tried.kind, tried.target, tried.result),
            })
            .collect();
        let tried = if tried.is_empty() {
            "no reload way is configured".to_owned()
        } else {
            tried.join("; ")
        };
        format!("{}; {tried}", self.seen)
    }
}

/// Looks at what is served, without asking anybody for anything.
pub fn observe(host: &Host, settings: &Settings, expected: &str) -> Convergence {
    let _ = host;
    let mut convergence = Convergence {
        proof: Proof::Off,
        served: None,
        tried: Vec::new(),
        by: None,
        seen: "the proof is off".into(),
        took_ms: None,
    };
    let ServedAddress::At(address) = &settings.tls.served_address else {
        return convergence;
    };
    match look(address, settings.tls.domain.as_str(), HANDSHAKE) {
        Served::Chain(chain) => {
            let sha256 = chain.first().map(|leaf| sha256(leaf)).unwrap_or_default();
            convergence.proof = if sha256 == expected {
                Proof::Served
            } else {
                Proof::Failed
            };
            convergence.seen = if convergence.proof == Proof::Served {
                format!("{address} serves it")
            } else {
                format!(
                    "{address} serves another leaf ({})",
                    sha256.get(..12).unwrap_or("none")
                )
            };
            convergence.served = Some((address.clone(), sha256));
        }
        Served::Nothing => {
            convergence.proof = Proof::NothingListens;
            convergence.seen = format!("nothing listens on {address}");
        }
        Served::Failed(why) => {
            convergence.proof = Proof::Failed;
            convergence.seen = format!("{address}: {why}");
        }
    }
    convergence
}

/// Makes the served leaf the expected one: looks first, then asks way by way.
pub fn converge(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
) -> Convergence {
    let started = host.instant();
    match observe(host, settings, expected) {
        first if first.proof == Proof::Served => first,
        first => ask(host, settings, expected, last_worked, first).since(started),
    }
}

/// The same, asking also when the expected leaf is served already: a person wants it read again.
pub fn converge_always(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
) -> Convergence {
    let started = host.instant();
    let first = observe(host, settings, expected);
    ask(host, settings, expected, last_worked, first).since(started)
}

fn ask(
    host: &Host,
    settings: &Settings,
    expected: &str,
    last_worked: Option<&str>,
    first: Convergence,
) -> Convergence {
    let mut tried = Vec::new();
    for way in ordered(&settings.tls.reload, last_worked) {
        let (kind, target) = describe(way);
        let mut entry = Tried {
            kind,
            target,
            name: name(way),
            result: "unproven",
            why: None,
        };
        match request(host, settings, way) {
            Err(Missing::Absent(why)) => (entry.result, entry.why) = ("absent", Some(why)),
            Err(Missing::Failed(why)) => {
                (entry.result, entry.why) = ("failed", Some(why));
                // it may have done its work all the same
                let seen = observe(host, settings, expected);
                if seen.proof == Proof::Served && first.proof != Proof::Served {
                    entry.result = "proven";
                    tried.push(entry.clone());
                    return Convergence {
                        tried,
                        by: Some(entry),
                        ..seen
                    };
                }
            }
            // without a proof, or with the expected leaf there before, nothing shows what asking did
            Ok(())
                if settings.tls.served_address == ServedAddress::Off
                    || first.proof == Proof::Served =>
            {
                entry.result = "requested";
                tried.push(entry);
                return Convergence {
                    tried,
                    ..observe(host, settings, expected)
                };
            }
            Ok(()) => {
                let seen = await_leaf(host, settings, way, expected);
                if seen.proof == Proof::Served {
                    entry.result = "proven";
                    tried.push(entry.clone());
                    return Convergence {
                        tried,
                        by: Some(entry),
                        ..seen
                    };
                }
                entry.why = Some(seen.seen);
            }
        }
        tried.push(entry);
    }
    Convergence {
        tried,
        ..observe(host, settings, expected)
    }
}

fn await_leaf(host: &Host, settings: &Settings, way: &ReloadWay, expected: &str) -> Convergence {
    let started = host.instant();
    let mut pause = Duration::from_millis(4);
    let mut asked_again = false;
    loop {
        let seen = observe(host, settings, expected);
        if seen.proof == Proof::Served || started.elapsed() >= PROOF {
            return seen;
        }
        let repeatable = matches!(way, ReloadWay::Signal { .. } | ReloadWay::CaddyAdmin { .. });
        if repeatable && !asked_again && started.elapsed() >= ASK_AGAIN {
            asked_again = true;
            let _ = request(host, settings, way);
        }
        host.sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn ordered<'a>(ways: &'a [ReloadWay], last_worked: Option<&str>) -> Vec<&'a ReloadWay> {
    let mut ordered: Vec<&ReloadWay> = ways.iter().collect();
    // stable: only the one that last worked moves
    ordered.sort_by_key(|way| Some(name(way).as_str()) != last_worked);
    ordered
}

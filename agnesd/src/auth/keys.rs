//! The keys that sign sessions, and the scheduler's secret; exchanged while requests run.
//!
//! Always true: two keys verify, the first signs; an exchange is one swap, so that no request sees half of it. Without
//! `JWT_SECRET_KEY` a key is made for this process alone. Comparisons are of digests, in constant time (A02); a path whose
//! secret is unset is off by type (A01).
//!
//! Every key has an id by which it is told: a digest, never a part of it.
//!
//! Does not: read files or judge how strong a key is (`agnes-config` does).

use std::sync::Arc;

use agnes_config::Secrets;
use agnes_store::Id;
use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest, hmac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::cookie;
use super::secrets::{self, NoRandomness};

mod callers;
mod generations;
mod verified;

use callers::Callers;
use generations::{Accepted, Generations, JwtKey, Role, SchedulerSecret, SessionKey};
use verified::{Known, Verified};

/// How long an access token lives, in seconds.
pub(crate) const ACCESS_SECS: i64 = 900;

/// How far ahead of this host's clock a token may have been issued, in seconds: this server signed it, so only a clock that was
/// set back is ahead.
const AHEAD_SECS: i64 = 60;

/// What an access token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wire {
    sub: String,
    sid: String,
    typ: String,
    epoch: i64,
    iat: i64,
    exp: i64,
}

/// What an access token that verified says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: Id,
    /// The session.
    pub(crate) sid: Id,
    /// The user's epoch when it was issued.
    pub(crate) epoch: i64,
}

/// One signing key.
struct Key {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
    /// Counted while it is the previous one.
    accepted: Arc<Accepted>,
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        Self {
            id: id_of(secret),
            accepted: Arc::default(),
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }
}

/// A name for a secret that says nothing about it: a digest under a label of its own.
fn id_of(secret: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"agnes key id\0");
    context.update(secret);
    secrets::hex(context.finish().as_ref().get(..8).unwrap_or_default())
}

/// One key of cookies.
struct CookieKey {
    id: String,
    role: Role,
    key: hmac::Key,
    of_this_process: bool,
    /// Counted while it is the previous one.
    accepted: Arc<Accepted>,
}

impl CookieKey {
    /// Never the very key that something else is signed with.
    fn new(secret: &[u8], role: Role) -> Self {
        let whole = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&whole, b"agnes session cookie");
        Self {
            id: id_of(secret),
            role,
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            of_this_process: false,
            accepted: Arc::default(),
        }
    }
}

type Digest = [u8; 32];

/// One of the scheduler's secrets.
struct Shared {
    id: Arc<str>,
    length: usize,
    digest: Digest,
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

struct Ring {
    signing: Key,
    /// `signing` was made for this process.
    of_this_process: bool,
    previous: Option<Key>,
    /// The first signs. There is always one: without `SESSION_SECRET` it was made for this process.
    session: Vec<CookieKey>,
    /// The current one first.
    scheduler: Vec<Shared>,
    bootstrap: Option<Digest>,
    verified: Verified,
}

/// The keys in use.
pub(crate) struct Keys {
    ring: ArcSwap<Ring>,
    /// Stands in for `JWT_SECRET_KEY` as long as that is not set.
    of_this_process: [u8; 32],
    validation: Validation,
    callers: Callers,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys of these settings.
    ///
    /// # Errors
    /// When there is no randomness for what is not set.
    pub(crate) fn new(secrets: &Secrets) -> Result<Self, NoRandomness> {
        let of_this_process = secrets::bytes()?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Ok(Self {
            ring: ArcSwap::from_pointee(ring(secrets, &of_this_process)),
            of_this_process,
            validation,
            callers: Callers::default(),
        })
    }

    /// From here on these are the keys; requests in flight finish with the old ones. Says what changed; where nothing did,
    /// nothing is done.
    pub(crate) fn replace(&self, secrets: &Secrets) -> Vec<&'static str> {
        let old = self.ring.load_full();
        let mut new = ring(secrets, &self.of_this_process);
        let changed = old.differs_from(&new);
        if changed.is_empty() {
            return changed;
        }
        if let (Some(before), Some(now)) = (&old.previous, &mut new.previous)
            && before.id == now.id
        {
            now.accepted = Arc::clone(&before.accepted);
        }
        for now in &mut new.session {
            let mut before = old.session.iter();
            let same = |key: &&CookieKey| key.role == Role::Previous && key.id == now.id;
            if let Some(before) = before.find(same) {
                now.accepted = Arc::clone(&before.accepted);
            }
        }
        let accepted: Vec<_> = new.scheduler.iter().map(|s| Arc::clone(&s.id)).collect();
        self.ring.store(Arc::new(new));
        self.callers.keep(&accepted);
        changed
    }

    /// What is in use, for the operator.
    pub(crate) fn generations(&self) -> Generations {
        let ring = self.ring.load();
        let jwt = |key: &Key, role: Role| JwtKey {
            id: key.id.clone(),
            role,
            signs: role == Role::Current,
            verifies: true,
            of_this_process: role == Role::Current && ring.of_this_process,
            accepted: (role == Role::Previous).then(|| key.accepted.count()),
            last_accepted_at: key.accepted.last(),
        };
        let previous = ring.previous.iter().map(|key| jwt(key, Role::Previous));
        let session = ring.session.iter().map(|key| SessionKey {
            id: key.id.clone(),
            role: key.role,
            signs: key.role == Role::Current,
            verifies: true,
            of_this_process: key.of_this_process,
            accepted: (key.role == Role::Previous).then(|| key.accepted.count()),
            last_accepted_at: key.accepted.last(),
        });
        let roles = [Role::Current, Role::Previous];
        let scheduler = ring
            .scheduler
            .iter()
            .zip(roles)
            .map(|(secret, role)| SchedulerSecret {
                id: secret.id.to_string(),
                role,
                used: self.callers.total(&secret.id),
                callers: self.callers.of(&secret.id),
            });
        let not_moved = match ring.scheduler.as_slice() {
            [current, previous, ..] => self.callers.not_moved(&previous.id, &current.id),
            _ => Vec::new(),
        };
        Generations {
            jwt: std::iter::once(jwt(&ring.signing, Role::Current))
                .chain(previous)
                .collect(),
            session: session.collect(),
            scheduler: scheduler.collect(),
            scheduler_not_moved: not_moved,
            scheduler_callers_forgotten: self.callers.forgotten(),
        }
    }

    /// The ids of the keys that verify, the signing one first.
    pub(crate) fn ids(&self) -> Vec<String> {
        let ring = self.ring.load();
        let previous = ring.previous.iter();
        std::iter::once(&ring.signing)
            .chain(previous)
            .map(|key| key.id.clone())
            .collect()
    }

    /// Whether the scheduler can call at all.
    pub(crate) fn has_scheduler(&self) -> bool {
        !self.ring.load().scheduler.is_empty()
    }

    /// The id of the scheduler's secret that these bytes are, the current or the previous one.
    pub(crate) fn scheduler(&self, secret: &[u8]) -> Option<Arc<str>> {
        let ring = self.ring.load();
        // how long it is is no secret, and spares most calls a digest
        if ring.scheduler.iter().all(|one| one.length != secret.len()) {
            return None;
        }
        let shown = sha256(secret);
        // every one is compared, also after one that is it
        ring.scheduler.iter().fold(None, |found, one| {
            let same = constant_time::verify_slices_are_equal(&one.digest, &shown).is_ok();
            if same {
                Some(Arc::clone(&one.id))
            } else {
                found
            }
        })
    }

    /// Whether the scheduler's secret of this id is still accepted.
    pub(crate) fn has_scheduler_id(&self, id: &str) -> bool {
        let ring = self.ring.load();
        ring.scheduler.iter().any(|one| &*one.id == id)
    }

    /// One call with a secret that [`Keys::scheduler`] named.
    pub(crate) fn note_scheduler(
        &self,
        id: &Arc<str>,
        address: &str,
        agent: &str,
        at: OffsetDateTime,
    ) {
        self.callers.note(id, address, agent, at);
    }

    /// Whether a bootstrap token is required.
    pub(crate) fn wants_bootstrap_token(&self) -> bool {
        self.ring.load().bootstrap.is_some()
    }

    /// Whether this is the bootstrap token; `true` when none is required.
    pub(crate) fn is_bootstrap_token(&self, token: Option<&str>) -> bool {
        match (&self.ring.load().bootstrap, token) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(digest), Some(token)) => {
                constant_time::verify_slices_are_equal(digest, &sha256(token.as_bytes())).is_ok()
            }
        }
    }

    /// An access token for a session, from `now` (seconds since 1970) on.
    ///
    /// # Errors
    /// When the claims cannot be signed, which would be a defect.
    pub(crate) fn sign(&self, claims: Claims, now: i64) -> Result<String, String> {
        let ring = self.ring.load();
        let header = Header {
            kid: Some(ring.signing.id.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let wire = Wire {
            sub: claims.sub.to_string(),
            sid: claims.sid.to_string(),
            typ: "access".to_owned(),
            epoch: claims.epoch,
            iat: now,
            exp: now + ACCESS_SECS,
        };
        jsonwebtoken::encode(&header, &wire, &ring.signing.sign).map_err(|e| e.to_string())
    }

    /// What an access token says, if one of our keys signed it and it has not ended at `now` (seconds since 1970).
    pub(crate) fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let ring = self.ring.load();
        if let Some(known) = ring.verified.get(token, now) {
            if let Some(previous) = ring.previous.as_ref().filter(|_| known.previous) {
                previous.accepted.note(now);
            }
            return Some(known.claims);
        }
        let id = jsonwebtoken::decode_header(token).ok()?.kid?;
        let (key, previous) = std::iter::once((&ring.signing, false))
            .chain(ring.previous.iter().map(|key| (key, true)))
            .find(|(key, _)| key.id == id)?;
        let wire = jsonwebtoken::decode::<Wire>(token, &key.verify, &self.validation)
            .ok()?
            .claims;
        if wire.typ != "access" || wire.exp <= now || wire.iat > now + AHEAD_SECS {
            return None;
        }
        let claims = Claims {
            sub: wire.sub.parse().ok()?,
            sid: wire.sid.parse().ok()?,
            epoch: wire.epoch,
        };
        if previous {
            key.accepted.note(now);
        }
        let end = wire.exp;
        let known = Known {
            claims,
            end,
            previous,
        };
        ring.verified.put(token, known);
        Some(claims)
    }
}

impl Keys {
    /// A browser's cookie for a session.
    pub(crate) fn sign_cookie(&self, claims: cookie::Claims) -> String {
        let ring = self.ring.load();
        let signing = ring.session.first().map(|key| &key.key);
        signing
            .map(|key| cookie::sign(key, claims))
            .unwrap_or_default()
    }

    /// A digest of this under each key of cookies, the current one first.
    pub(crate) fn derive(&self, text: &str) -> Vec<String> {
        let ring = self.ring.load();
        let keys = ring.session.iter();
        keys.map(|key| secrets::hex(hmac::sign(&key.key, text.as_bytes()).as_ref()))
            .collect()
    }

    /// What a cookie says, if one of our keys signed it.
    pub(super) fn verify_cookie(&self, text: &str, now: i64) -> Option<cookie::Claims> {
        let ring = self.ring.load();
        ring.session.iter().find_map(|key| {
            let claims = cookie::verify(&key.key, text)?;
            if key.role == Role::Previous {
                key.accepted.note(now);
            }
            Some(claims)
        })
    }
}

impl Ring {
    /// What is not the same in both.
    fn differs_from(&self, new: &Self) -> Vec<&'static str> {
        let id = |key: &Option<Key>| key.as_ref().map(|key| key.id.clone());
        let scheduler = |ring: &Self| -> Vec<Arc<str>> {
            ring.scheduler.iter().map(|s| Arc::clone(&s.id)).collect()
        };
        let cookies = |ring: &Self| -> Vec<(String, Role)> {
            let keys = ring.session.iter();
            keys.map(|key| (key.id.clone(), key.role)).collect()
        };
        let jwt = self.signing.id != new.signing.id || id(&self.previous) != id(&new.previous);
        [
            ("jwt", jwt),
            ("session", cookies(self) != cookies(new)),
            ("scheduler", scheduler(self) != scheduler(new)),
            ("bootstrap", self.bootstrap != new.bootstrap),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

fn ring(secrets: &Secrets, of_this_process: &[u8]) -> Ring {
    let digest_of = |secret: &agnes_config::Secret| sha256(secret.expose().as_bytes());
    let scheduler = &secrets.scheduler;
    Ring {
        of_this_process: secrets.jwt.current.is_none(),
        session: cookie_keys(&secrets.session, of_this_process),
        signing: match &secrets.jwt.current {
            Some(secret) => Key::new(secret.expose().as_bytes()),
            None => Key::new(of_this_process),
        },
        previous: secrets
            .jwt
            .previous
            .as_ref()
            .map(|secret| Key::new(secret.expose().as_bytes())),
        // a previous secret without a present one opens nothing: the path is off
        scheduler: match &scheduler.current {
            Some(current) => std::iter::once(current)
                .chain(&scheduler.previous)
                .map(|secret| Shared {
                    id: id_of(secret.expose().as_bytes()).into(),
                    length: secret.expose().len(),
                    digest: digest_of(secret),
                })
                .collect(),
            None => Vec::new(),
        },
        bootstrap: secrets.bootstrap.as_ref().map(digest_of),
        verified: Verified::default(),
    }
}

fn cookie_keys(secrets: &agnes_config::Keys, of_this_process: &[u8]) -> Vec<CookieKey> {
    let key =
        |secret: &agnes_config::Secret, role| CookieKey::new(secret.expose().as_bytes(), role);
    let current = match &secrets.current {
        Some(secret) => key(secret, Role::Current),
        None => CookieKey {
            of_this_process: true,
            ..CookieKey::new(of_this_process, Role::Current)
        },
    };
    let previous = secrets.previous.iter();
    std::iter::once(current)
        .chain(previous.map(|secret| key(secret, Role::Previous)))
        .collect()
}

//! The keys that sign sessions, and the scheduler's secret; exchanged while requests run.
//!
//! Always true: two keys verify, the first signs; an exchange is one swap, so that no request sees half of it. Without
//! `JWT_SECRET_KEY` a key is made for this process alone. Comparisons are of digests, in constant time (A02); a path whose
//! secret is unset is off by type (A01).
//!
//! Does not: read files or judge how strong a key is (`agnes-config` does).

use std::sync::Arc;

use agnes_config::Secrets;
use agnes_store::Id;
use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secrets::{self, NoRandomness};

mod verified;

use verified::Verified;

/// How long an access token lives, in seconds.
pub(crate) const ACCESS_SECS: i64 = 900;

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
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        // a name for the key that says nothing about it: a digest under a label of its own
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"agnes key id\0");
        context.update(secret);
        let id = secrets::hex(context.finish().as_ref().get(..8).unwrap_or_default());
        Self {
            id,
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }
}

type Digest = [u8; 32];

fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

struct Ring {
    signing: Key,
    previous: Option<Key>,
    /// Length in bytes and digest of each.
    scheduler: Vec<(usize, Digest)>,
    bootstrap: Option<Digest>,
    verified: Verified,
}

/// The keys in use.
pub(crate) struct Keys {
    ring: ArcSwap<Ring>,
    /// Stands in for `JWT_SECRET_KEY` as long as that is not set.
    of_this_process: [u8; 32],
    validation: Validation,
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
        })
    }

    /// From here on these are the keys; requests in flight finish with the old ones.
    pub(crate) fn replace(&self, secrets: &Secrets) {
        self.ring
            .store(Arc::new(ring(secrets, &self.of_this_process)));
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

    /// Whether these bytes are the scheduler's secret, the present or the previous one.
    pub(crate) fn is_scheduler(&self, secret: &[u8]) -> bool {
        let ring = self.ring.load();
        // how long it is is no secret, and spares most calls a digest
        if ring
            .scheduler
            .iter()
            .all(|(length, _)| *length != secret.len())
        {
            return false;
        }
        let shown = sha256(secret);
        // every one is compared: which one it was takes no other time
        ring.scheduler.iter().fold(false, |found, (_, digest)| {
            found | constant_time::verify_slices_are_equal(digest, &shown).is_ok()
        })
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
        if let Some(claims) = ring.verified.get(token, now) {
            return Some(claims);
        }
        let id = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = std::iter::once(&ring.signing)
            .chain(&ring.previous)
            .find(|key| key.id == id)?;
        let wire = jsonwebtoken::decode::<Wire>(token, &key.verify, &self.validation)
            .ok()?
            .claims;
        if wire.typ != "access" || wire.exp <= now {
            return None;
        }
        let claims = Claims {
            sub: wire.sub.parse().ok()?,
            sid: wire.sid.parse().ok()?,
            epoch: wire.epoch,
        };
        ring.verified.put(token, claims, wire.exp);
        Some(claims)
    }
}

fn ring(secrets: &Secrets, of_this_process: &[u8]) -> Ring {
    let digest_of = |secret: &agnes_config::Secret| sha256(secret.expose().as_bytes());
    let scheduler = &secrets.scheduler;
    Ring {
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
                .map(|secret| (secret.expose().len(), digest_of(secret)))
                .collect(),
            None => Vec::new(),
        },
        bootstrap: secrets.bootstrap.as_ref().map(digest_of),
        verified: Verified::default(),
    }
}

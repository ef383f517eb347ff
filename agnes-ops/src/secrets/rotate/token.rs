//! Access tokens as the server makes them, to ask it whether a key still opens anything.
//!
//! Always true: a token made here is good for a minute at most, and is shown to the server alone.
//!
//! Does not: decide whose session it is (the server's probe does).

use agnes_config::Secret;
use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

/// How long a token that is made here lives, in seconds.
const SECS: i64 = 60;

/// The name under which the server knows a key: the first 8 bytes of the SHA-256 of a label and the secret, hex.
pub(in crate::secrets) fn key_id(secret: &Secret) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"agnes key id\0");
    context.update(secret.expose().as_bytes());
    let digest = context.finish();
    crate::sha256::hex(digest.as_ref().get(..8).unwrap_or_default())
}

/// What a token says, not verified: the server made it a moment ago.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let decoded = jsonwebtoken::dangerous::insecure_decode::<Map<String, Value>>(token);
    decoded.ok().map(|decoded| decoded.claims)
}

/// Which key signed a token.
pub(super) fn key_of(token: &str) -> Option<String> {
    jsonwebtoken::decode_header(token).ok()?.kid
}

/// A token that says the same, signed with `key` at `now` (seconds since 1970).
///
/// # Errors
/// When it cannot be signed, which would be a defect.
pub(super) fn sign(
    claims: &Map<String, Value>,
    key: &Secret,
    now: i64,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = Header {
        kid: Some(key_id(key)),
        ..Header::new(Algorithm::HS256)
    };
    let mut claims = claims.clone();
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + SECS).into());
    let key = EncodingKey::from_secret(key.expose().as_bytes());
    jsonwebtoken::encode(&header, &claims, &key)
}

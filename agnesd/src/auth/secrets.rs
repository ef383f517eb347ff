//! Secrets that the server makes: random text, and the hash that is kept of it.
//!
//! Always true: 256 bits from the operating system; the hash is enough to recognise one, not to make one.
//!
//! Does not: keep anything.

use aws_lc_rs::{digest, rand};
use std::fmt::Write;

/// 64 hexadecimal digits.
///
/// # Errors
/// When the operating system gives no randomness.
pub(crate) fn random() -> Result<String, NoRandomness> {
    Ok(hex(&bytes()?))
}

/// 32 random bytes.
///
/// # Errors
/// As [`random`].
pub(crate) fn bytes() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub(crate) struct NoRandomness;

/// SHA-256 in hexadecimal: what is stored of a secret with 256 bits of its own.
pub(crate) fn sha256(secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

//! SHA-256 as text, the one way in which this program writes a hash down: 64 lower-case hexadecimal digits.
//!
//! Always true: a value in, a value out.
//!
//! Does not: read files (`Host::sha256` does, by pieces).

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// Of these bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

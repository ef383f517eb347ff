//! Bytes as lower-case hexadecimal digits.
//!
//! Always true: two digits a byte.
//!
//! Does not: read them back.

use std::fmt::Write;

/// `[0xab, 1]` → `ab01`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

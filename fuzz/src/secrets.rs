//! The journal of a secret's rotation, which only its own neighbours see.
//!
//! Always true: as `journal`.
//!
//! Does not: change a secret.

#[path = "../../agnes-ops/src/secrets/rotate/rotation.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod rotation;

/// # Panics
/// When an entry is not what was written.
pub fn check(bytes: &[u8]) {
    crate::journal::entry::<rotation::Rotation>(bytes);
}

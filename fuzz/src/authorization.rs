//! The `Authorization` header, and the text of a personal token in it.
//!
//! Always true: what is taken is not empty, stands in the header as it is, and is taken again behind a fresh `Bearer `.
//!
//! Does not: look tokens up.

#[path = "../../agnesd/src/auth/bearer.rs"]
mod bearer;
#[path = "../../agnesd/src/auth/personal.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod personal;
#[path = "../../agnesd/src/auth/secrets.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod secrets;

use bearer::bearer;

/// # Panics
/// When something is taken that was not shown.
pub fn check(bytes: &[u8]) {
    if let Some(secret) = bearer(bytes) {
        assert!(!secret.is_empty() && secret == secret.trim_ascii());
        assert!(bytes.trim_ascii().ends_with(secret));
        let again = [b"bEaReR ", secret].concat();
        assert_eq!(bearer(&again), Some(secret));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // a checksum that is right must not be so for another text of the same length
    if personal::is_plausible(text) {
        assert!(text.starts_with(personal::PREFIX));
        let other = text.replacen(personal::PREFIX, "agq_", 1);
        assert!(!personal::is_plausible(&other));
    }
}

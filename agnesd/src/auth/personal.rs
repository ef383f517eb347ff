//! The text of a personal access token: `agp_`, 256 random bits, a checksum.
//!
//! Always true: what a scanner finds in a repository can be told from noise without asking us: the last eight digits are
//! CRC-32C of what stands before them.
//!
//! Does not: say whether a token is valid.

use super::secrets::{self, NoRandomness};

/// How each of them begins.
pub(crate) const PREFIX: &str = "agp_";

/// Digits of the checksum.
const CHECKSUM: usize = 8;

/// A new one.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn make() -> Result<String, NoRandomness> {
    let body = format!("{PREFIX}{}", secrets::random()?);
    let checksum = crc32c::crc32c(body.as_bytes());
    Ok(format!("{body}{checksum:08x}"))
}

/// Whether the checksum is right: most of what is not ours is refused without a look-up.
pub(crate) fn is_plausible(token: &str) -> bool {
    let Some((body, checksum)) = token
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|at| token.split_at_checked(at))
    else {
        return false;
    };
    body.starts_with(PREFIX) && checksum == format!("{:08x}", crc32c::crc32c(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_prefix_and_a_checksum_that_catches_a_typing_error() {
        let token = make().unwrap();
        assert_eq!(token.len(), 4 + 64 + 8);
        assert!(is_plausible(&token));
        for at in 4..token.len() {
            let mut wrong = token.clone();
            let other = if token.as_bytes()[at] == b'0' {
                "1"
            } else {
                "0"
            };
            wrong.replace_range(at..=at, other);
            assert!(!is_plausible(&wrong), "{at}");
        }
        for wrong in ["", "agp_", "agp_ä", "ää", "xxxx00000000"] {
            assert!(!is_plausible(wrong), "{wrong}");
        }
    }
}

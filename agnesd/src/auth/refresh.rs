//! Refresh tokens: which of them a session has given out, and which one is valid.
//!
//! Always true: of a token only a hash is kept; each carries a mark under a key of its session's own, so that one that was
//! given out before is told from one that somebody made up: the first ends the session, the second must not, for the
//! session's id is no secret.
//!
//! Does not: exchange or end anything (the store does).

use aws_lc_rs::hmac;

use super::secrets::{self, NoRandomness};

/// Bytes of a mark that are shown.
const MARK: usize = 16;

/// A new token of a session.
pub(crate) struct Issued {
    /// What its holder gets, behind the session's id.
    pub(crate) secret: String,
    /// What the store keeps: `<hash of the secret>:<the session's key>`.
    pub(crate) kept: String,
}

/// The first token of a session.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn first() -> Result<Issued, NoRandomness> {
    issue(&secrets::random()?)
}

/// The token that follows the one of which `kept` is kept.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn next(kept: &str) -> Result<Issued, NoRandomness> {
    match kept.split_once(':') {
        Some((_, key)) => issue(key),
        None => first(),
    }
}

/// What the store would keep of the shown secret, if the session that keeps `kept` gave it out, now or earlier.
pub(crate) fn shown(kept: &str, secret: &str) -> Option<String> {
    let (_, key) = kept.split_once(':')?;
    let (random, _) = secret.split_once('.')?;
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(
        mark(key, random).as_bytes(),
        secret.get(random.len() + 1..)?.as_bytes(),
    );
    same.ok()?;
    Some(keep(secret, key))
}

fn issue(key: &str) -> Result<Issued, NoRandomness> {
    let random = secrets::random()?;
    let secret = format!("{random}.{}", mark(key, &random));
    Ok(Issued {
        kept: keep(&secret, key),
        secret,
    })
}

fn keep(secret: &str, key: &str) -> String {
    format!("{}:{key}", secrets::sha256(secret))
}

fn mark(key: &str, random: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, random.as_bytes());
    secrets::hex(tag.as_ref().get(..MARK).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_out_is_told_from_what_was_made_up() {
        let one = first().unwrap();
        let two = next(&one.kept).unwrap();
        assert_eq!(shown(&one.kept, &one.secret).as_ref(), Some(&one.kept));
        // an earlier one: known, and not the valid one
        let again = shown(&two.kept, &one.secret).unwrap();
        assert_ne!(again, two.kept);
        let other = first().unwrap();
        for made_up in [
            "",
            "x",
            "x.y",
            &other.secret,
            one.secret.trim_end_matches('0').get(1..).unwrap(),
        ] {
            assert_eq!(shown(&two.kept, made_up), None, "{made_up}");
        }
        assert_eq!(shown("", &one.secret), None);
        assert!(!two.kept.contains(&two.secret));
    }
}

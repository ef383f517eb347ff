//! One sign-in on its way through the provider and back.
//!
//! Always true: the state names the flow, and a cookie that only this server signs ties it to the browser that was sent; nonce
//! and verifier are made of the state and a key that no browser has, so that neither is kept or shown anywhere. A flow lives
//! for ten minutes.
//!
//! Does not: keep flows: a restart in between costs nobody anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::keys::Keys;
use crate::auth::secrets::{self, NoRandomness};

/// How long somebody may take at the provider, in seconds.
pub(crate) const LIFE_SECS: i64 = 600;

/// A flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

impl Flow {
    /// A new one, with what its cookie says; `now` in seconds since 1970.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn begin(keys: &Keys, now: i64) -> Result<(Self, String), NoRandomness> {
        let state = secrets::random()?;
        let end = now + LIFE_SECS;
        let mark = derive(keys, "cookie", &format!("{state}.{end}"))
            .into_iter()
            .next();
        let flow = of(keys, &state).into_iter().next();
        let (flow, mark) = flow.zip(mark).ok_or(NoRandomness)?;
        Ok((flow, format!("{state}.{end}.{mark}")))
    }

    /// The one that came back with this state to the browser with this cookie.
    pub(crate) fn back(keys: &Keys, cookie: &str, state: &str, now: i64) -> Option<Self> {
        let (said, mark) = cookie.rsplit_once('.')?;
        let (begun, end) = said.split_once('.')?;
        let end: i64 = end.parse().ok()?;
        if end <= now || end > now + LIFE_SECS || !same(begun, state) {
            return None;
        }
        // the key that signed the cookie is the one that made the rest
        let marks = derive(keys, "cookie", said);
        let mut flows = marks.iter().zip(of(keys, begun));
        let found = flows.find(|(made, _)| same(made, mark));
        found.map(|(_, flow)| flow)
    }
}

/// One for each key, the current one first.
fn of(keys: &Keys, state: &str) -> Vec<Flow> {
    let nonces = derive(keys, "nonce", state).into_iter();
    let pairs = nonces.zip(derive(keys, "verifier", state));
    let flows = pairs.map(|(nonce, verifier)| Flow {
        state: state.to_owned(),
        nonce,
        verifier,
    });
    flows.collect()
}

fn derive(keys: &Keys, what: &str, of: &str) -> Vec<String> {
    keys.derive(&format!("agnes oidc {what}\0{of}"))
}

fn same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// What a part of a token says.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use agnes_config::{Secret, Secrets};

    use super::*;

    fn keys(current: &str, previous: Option<&str>) -> Keys {
        let mut secrets = Secrets {
            jwt: agnes_config::Keys::default(),
            session: agnes_config::Keys::default(),
            scheduler: agnes_config::Keys::default(),
            bootstrap: None,
        };
        secrets.session.current = Some(Secret::new(current));
        secrets.session.previous = previous.map(Secret::new);
        Keys::new(&secrets).unwrap()
    }

    #[test]
    fn only_the_browser_that_was_sent_comes_back_and_only_in_time() {
        let one = keys("one", None);
        let (flow, cookie) = Flow::begin(&one, 1000).unwrap();
        let back = Flow::back(&one, &cookie, &flow.state, 1599).unwrap();
        assert_eq!((&back.nonce, &back.verifier), (&flow.nonce, &flow.verifier));
        // RFC 7636 section 4.1: 43 to 128 characters
        assert_eq!(flow.verifier.len(), 64);
        assert!(!cookie.contains(&flow.verifier) && !cookie.contains(&flow.nonce));
        assert!(Flow::back(&one, &cookie, &flow.state, 1600).is_none());
        let (other, others) = Flow::begin(&one, 1000).unwrap();
        assert_ne!(other.verifier, flow.verifier);
        assert!(Flow::back(&one, &cookie, &other.state, 1001).is_none());
        assert!(Flow::back(&one, &others, &flow.state, 1001).is_none());
        let longer = cookie.replace(".1600.", ".9999.");
        for wrong in ["", ".", "..", "a.b.c", &longer, &format!("{cookie}0")] {
            assert!(
                Flow::back(&one, wrong, &flow.state, 1001).is_none(),
                "{wrong}"
            );
        }
        // over a rotation of the secret
        let rotated = keys("two", Some("one"));
        let back = Flow::back(&rotated, &cookie, &flow.state, 1001).unwrap();
        assert_eq!(back.verifier, flow.verifier);
        assert!(Flow::back(&keys("two", None), &cookie, &flow.state, 1001).is_none());
    }
}

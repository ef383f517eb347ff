//! Access tokens whose signature was checked a moment ago: a caller shows the same one thousands of times.
//!
//! Always true: only what verified is in here, whole text by whole text, and not beyond its end; it goes with the keys that
//! verified it. Whether the session and its user still may is asked each time all the same.
//!
//! Does not: grow: a part that is full begins anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Claims;

const PARTS: usize = 16;
/// Tokens in each part: 16 × 256 × about 400 bytes are under 2 MB.
const MOST: usize = 256;

/// The tokens, in parts so that callers rarely wait for each other.
#[derive(Default)]
pub(super) struct Verified([Part; PARTS]);

/// By text.
type Part = Mutex<HashMap<Box<str>, Known>>;

/// A token that verified.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// What it says.
    pub(super) claims: Claims,
    /// When it ends, in seconds since 1970.
    pub(super) end: i64,
    /// The previous key signed it.
    pub(super) previous: bool,
}

impl Verified {
    fn part(&self, token: &str) -> Option<&Part> {
        // the end of a signature is as good as a hash
        let last = token.bytes().rev().take(4);
        let sum: usize = last.map(usize::from).sum();
        self.0.get(sum % PARTS)
    }

    /// The token, if it was seen and has not ended at `now` (seconds since 1970).
    pub(super) fn get(&self, token: &str, now: i64) -> Option<Known> {
        let part = self.part(token)?;
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.get(token).filter(|known| now < known.end).copied()
    }

    /// Remembers a token that verified.
    pub(super) fn put(&self, token: &str, known: Known) {
        let Some(part) = self.part(token) else { return };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= MOST {
            part.clear();
        }
        part.insert(token.into(), known);
    }
}

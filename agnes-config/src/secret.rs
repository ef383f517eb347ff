//! A text that nobody may see.
//!
//! Always true: `Debug` shows how long it is and nothing else; there is no `Display` and nothing that serialises it; its
//! memory is wiped when the last copy goes.
//!
//! Does not: judge whether it is a good one (that is `values::soundness`), compare (the server does, in constant time).

use std::fmt;

use zeroize::Zeroizing;

/// A key, a token or a password.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes the text over. What the caller still holds of it is the caller's to wipe.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its length in characters.
    pub(crate) fn chars(&self) -> usize {
        self.expose().chars().count()
    }

    /// What people see in its place.
    pub(crate) fn masked(&self) -> String {
        format!("<set, {} chars>", self.chars())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_length_is_all_that_is_shown() {
        let secret = Secret::new("pässword");
        assert_eq!(
            format!("{secret:?} {secret:#?}"),
            "<set, 8 chars> <set, 8 chars>"
        );
        assert_eq!(secret.clone().expose(), "pässword");
    }
}

//! What the control socket is told.
//!
//! Always true: a name becomes a file's or a row's only as it was checked here.
//!
//! Does not: act.

use serde::Deserialize;

/// What a snapshot is to be called.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    name: String,
}

impl Wanted {
    /// A name that is one file's, below the snapshots' directory, and not that of one that is being made.
    ///
    /// # Errors
    /// What a name is.
    pub(super) fn name(self) -> Result<String, &'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let sound = (1..=128).contains(&self.name.len())
            && self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.name.chars().all(plain)
            && !self.name.ends_with(".part");
        sound.then_some(self.name).ok_or(
            "a snapshot's name is [A-Za-z0-9][A-Za-z0-9._-]{0,127} and does not end in .part",
        )
    }
}

/// Who holds writes.
#[derive(Debug, Deserialize)]
pub(super) struct Holding {
    id: String,
    by: Option<String>,
}

impl Holding {
    /// Under which id, and who; `usual` where nobody is named.
    ///
    /// # Errors
    /// What they are.
    pub(super) fn id_and_by(self, usual: &str) -> Result<(String, String), &'static str> {
        let short = |text: &str| {
            (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let by = self.by.unwrap_or_else(|| usual.to_owned());
        if short(&self.id) && short(&by) {
            Ok((self.id, by))
        } else {
            Err("id and by have 1 to 128 characters, none of them control characters")
        }
    }
}

/// Which hold ends; no id, or no body at all: whichever there is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Releasing {
    pub(super) id: Option<String>,
}

impl Releasing {
    /// From a body that may be none.
    ///
    /// # Errors
    /// What it is.
    pub(super) fn read(body: &[u8]) -> Result<Self, &'static str> {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Ok(Self::default());
        }
        let read = serde_json::from_slice(body).ok();
        // serde would take the fields in their order from an array
        read.filter(|_| body.starts_with(b"{"))
            .ok_or("the body is not {} or {\"id\": \"…\"}")
    }
}

/// Who is locked out.
#[derive(Debug, Deserialize)]
pub(super) struct LockedOut {
    pub(super) email: String,
}

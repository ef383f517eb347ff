//! Where a page of the log begins, as a caller carries it from one page to the next.
//!
//! Always true: one place has one text: what is read is what would be written, byte for byte.
//!
//! Does not: read rows, or know whether there are any behind it.

use std::fmt;
use std::str::FromStr;

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Behind so many of the rows that wait to be written.
    Waiting(usize),
    /// Before the row of this number; all that waits was given.
    Before(i64),
}

/// A text that no page gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that was given")]
pub struct NoCursor;

impl Default for Cursor {
    /// The first page.
    fn default() -> Self {
        Self::Waiting(0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(seen) => write!(f, "w{seen}"),
            Self::Before(seq) => write!(f, "{seq}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    /// # Errors
    /// [`NoCursor`].
    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let read = match text.strip_prefix('w') {
            Some(seen) => seen.parse().ok().map(Self::Waiting),
            None => text.parse().ok().map(Self::Before),
        };
        // a number can be written in many ways (`+7`, `007`); a cursor in one
        read.filter(|cursor| cursor.to_string() == text)
            .ok_or(NoCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_only_as_it_was_written() {
        for cursor in [
            Cursor::default(),
            Cursor::Waiting(usize::MAX),
            Cursor::Before(1),
            Cursor::Before(i64::MAX),
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for none in ["", "w", "+7", "007", "w+0", "w00", "-0", "7 ", "W1", "1e3"] {
            assert_eq!(none.parse::<Cursor>(), Err(NoCursor), "{none:?}");
        }
    }
}

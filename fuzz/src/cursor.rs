//! The cursor of a page.
//!
//! Always true: what is read is written as it was read.
//!
//! Does not: ask a store.

use crate::page::Cursor;

/// # Panics
/// When a cursor is read that would be written otherwise.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(cursor) = text.parse::<Cursor>()
    {
        assert_eq!(cursor.to_string(), text);
    }
}

//! What a file is called.
//!
//! Always true: a [`DataId`] is 1 to 128 of `A-Z a-z 0-9 . _ -` and begins with a letter or a digit. So it is one part of a path
//! and leads nowhere: it has no separator, no zero byte, nothing that is hidden, and is neither `.` nor `..`.
//!
//! Does not: change what it is given to make it fit.

use std::fmt;
use std::str::FromStr;

/// Longest, in bytes.
const LONGEST: usize = 128;

/// The name of a file, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DataId(String);

/// What is no name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoDataId;

impl FromStr for DataId {
    type Err = NoDataId;

    fn from_str(text: &str) -> Result<Self, NoDataId> {
        let begins = text
            .bytes()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric());
        let goes_on = text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'));
        if begins && goes_on && text.len() <= LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoDataId)
        }
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn is_one(text: &str) -> bool {
        text.parse::<DataId>().is_ok()
    }

    #[test]
    fn what_names_a_file_and_what_does_not() {
        let longest = "a".repeat(128);
        for good in ["in.c-crm.orders", "a", "0", "A..b", "x_-.", &longest] {
            assert!(is_one(good), "{good}");
        }
        let too_long = "a".repeat(129);
        for bad in [
            "", ".", "..", "../x", ".hidden", "-x", "_x", "a/b", "a\\b", "a\0", "a b", "a\n", "ä",
            "a%2f", "a@b", "a:b", "a*", "~", &too_long,
        ] {
            assert!(!is_one(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_plain_part_of_a_path(text in "[ -~]{0,140}|[A-Za-z0-9._/-]{0,140}|.{0,20}") {
            if let Ok(id) = text.parse::<DataId>() {
                prop_assert_eq!(id.to_string(), text.as_str());
                let parts: Vec<Component<'_>> = Path::new(&text).components().collect();
                prop_assert_eq!(parts, vec![Component::Normal(text.as_ref())]);
                prop_assert!(!text.starts_with('.') && text.len() <= 128);
            }
        }

        #[test]
        fn all_that_fits_the_pattern_is_taken(text in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}") {
            prop_assert!(is_one(&text));
        }
    }
}

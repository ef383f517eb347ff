//! How files lie in their directory: `<id>@<version>@<sha256>`, so that one rename publishes a file with all that is known of it.
//!
//! Always true: what is written here reads back as it was; no id has an `@`, so no two things have one name; of two versions of
//! an id the later one has the higher number.
//!
//! Does not: touch the disk.

use std::fmt;
use std::str::FromStr;

use super::id::DataId;

/// A file that is whole, as it is named on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// What callers call it.
    pub(crate) id: DataId,
    /// Milliseconds since 1970 at which it was published, or a little more: never twice the same.
    pub(crate) version: u64,
    /// Of its content, 64 hexadecimal digits.
    pub(crate) sha256: String,
}

/// What an entry of the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// Published.
    Whole(Name),
    /// Whole, and waits for its row in the audit log.
    Ready(Name),
    /// A mark beside a published one: it goes as soon as the audit log says so.
    Leaving(Name),
    /// One that is being written.
    Part,
}

const READY: &str = ".ready";
const LEAVING: &str = ".leaving";
const PART: &str = ".part";

impl Name {
    /// The version as it is written.
    pub(crate) fn version_digits(&self) -> String {
        format!("{:016x}", self.version)
    }

    pub(super) fn ready(&self) -> String {
        format!("{self}{READY}")
    }

    pub(super) fn leaving(&self) -> String {
        format!("{self}{LEAVING}")
    }
}

/// For one that is being written.
pub(super) fn part() -> String {
    format!("{}{PART}", agnes_store::Id::new())
}

impl Entry {
    /// `None`: nothing of ours.
    pub(super) fn of(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_suffix(READY) {
            return name.parse().map(Self::Ready).ok();
        }
        if let Some(name) = text.strip_suffix(LEAVING) {
            return name.parse().map(Self::Leaving).ok();
        }
        if let Some(id) = text.strip_suffix(PART) {
            return id.parse::<agnes_store::Id>().map(|_| Self::Part).ok();
        }
        text.parse().map(Self::Whole).ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:016x}@{}", self.id, self.version, self.sha256)
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('@');
        let (Some(id), Some(version), Some(sha256), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let name = Self {
            id: id.parse().map_err(|_| ())?,
            version: u64::from_str_radix(version, 16).map_err(|_| ())?,
            sha256: sha256.to_owned(),
        };
        let digits = sha256
            .bytes()
            .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        // also what `from_str_radix` takes beside digits
        if digits && sha256.len() == 64 && name.to_string() == text {
            Ok(name)
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_nothing_else_does(
            id in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}|x\\.ready|x\\.leaving|x\\.part", version: u64, sha256 in "[0-9a-f]{64}", noise in ".{0,200}",
        ) {
            let name = Name { id: id.parse().unwrap(), version, sha256 };
            prop_assert_eq!(Entry::of(&name.to_string()), Some(Entry::Whole(name.clone())));
            prop_assert_eq!(Entry::of(&name.ready()), Some(Entry::Ready(name.clone())));
            prop_assert_eq!(Entry::of(&name.leaving()), Some(Entry::Leaving(name.clone())));
            prop_assert!(name.leaving().len() <= 255);
            if let Some(Entry::Whole(read)) = Entry::of(&noise) {
                prop_assert_eq!(read.to_string(), noise);
            }
        }
    }

    #[test]
    fn a_part_is_one() {
        assert_eq!(Entry::of(&part()), Some(Entry::Part));
        assert_eq!(Entry::of("somebody's.part"), None);
    }
}

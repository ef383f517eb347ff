//! The text of `manifest.json`, and of a snapshot's name.
//!
//! Always true: it names every other file of the snapshot with size and SHA-256, and every table with rows and a hash of its
//! content; what was left out stands there too.
//!
//! Does not: read files, or prove anything; whoever verifies compares.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::database::Table;
use crate::outcome::one_line;

/// The meaning of its fields.
const VERSION: u32 = 1;

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the manifest's own fields.
    pub manifest_version: u32,
    /// The snapshot's name.
    pub id: String,
    /// Why it was made.
    pub reason: String,
    /// When writes went on.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The server's version; `None`: an offline copy of a program that does not say.
    pub version: Option<String>,
    /// The image that owned the file, where one did.
    pub image_digest: Option<String>,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The schema's version.
    pub schema_version: i64,
    /// `server` or `export`.
    pub made_by: String,
    /// How long writes waited, in milliseconds.
    pub pause_ms: u64,
    /// Every table of the database.
    pub tables: BTreeMap<String, Table>,
    /// Every file but this one, by its path in the snapshot.
    pub files: BTreeMap<String, File>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Lower-case hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Something that is not in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub what: String,
    /// In one line.
    pub why: String,
}

impl Manifest {
    /// The version that this program writes.
    pub fn version_now() -> u32 {
        VERSION
    }

    /// That of these bytes.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(found) if found.manifest_version != VERSION => Err(format!(
                "its fields are of version {}, this program knows {VERSION}",
                found.manifest_version
            )),
            Ok(found) => Ok(found),
            Err(why) => Err(one_line(&why.to_string())),
        }
    }

    /// Whether it was made when its directory's name says, which retention goes by: a copy waits for another one before it for
    /// minutes at most.
    pub fn is_of_the_time_of(&self, name: &str) -> bool {
        made_at(name).is_none_or(|named| {
            let after = self.created_at - named;
            (Duration::seconds(-2)..Duration::hours(1)).contains(&after)
        })
    }

    /// All bytes of the snapshot but the manifest's.
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.values().map(|file| file.size);
        // a manifest may say anything
        sizes.fold(0, u64::saturating_add)
    }
}

/// Why a snapshot is made, as it stands in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// A reason of ours.
    pub fn of(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let sound = (1..=40).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(plain);
        match sound {
            true => Ok(Self(text.to_owned())),
            false => Err("1 to 40 of a-z, 0-9 and -, such as before-import".to_owned()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<UTC>-<reason>`.
pub fn id(at: OffsetDateTime, reason: &Reason) -> String {
    let stamp = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    format!("{}-{reason}", at.format(stamp).unwrap_or_default())
}

/// When an id says that it was made; `None`: it is not named as ours.
pub fn made_at(id: &str) -> Option<OffsetDateTime> {
    let stamp = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let (at, _) = id.split_once('-')?;
    let at = time::PrimitiveDateTime::parse(at, stamp).ok()?;
    Some(at.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_when_and_why() {
        let at = time::macros::datetime!(2026-11-26 07:08:09 UTC);
        assert_eq!(id(at, &Reason::of("daily")), "20261126T070809Z-daily");
        assert_eq!(made_at("20261126T070809Z-daily"), Some(at));
        assert_eq!(made_at("monday"), None);
        for wrong in ["", "-x", "Before", "a b", "../x", "ä", &"a".repeat(41)] {
            assert!(wrong.parse::<Reason>().is_err(), "{wrong}");
        }
        assert!("before-import".parse::<Reason>().is_ok());
    }
}

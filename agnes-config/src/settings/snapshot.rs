//! `[snapshot]`.
//!
//! Always true: as its parent.
//!
//! Does not: know which snapshots there are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How snapshots are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `keep_last` (default 7): at least so many proven ones, however old.
    pub keep_last: u32,
    /// `keep_days` (default 30): proven ones that are younger than this.
    pub keep_days: u32,
    /// `push_to`; `None`: they stay on this host.
    pub push_to: Option<Remote>,
    /// `age_recipient`: whom secrets are encrypted to; none: no secret is in a snapshot.
    pub age_recipients: Vec<String>,
}

/// A place for snapshots off this host, or on another disk of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// `gs://bucket/prefix`; the prefix is empty or does not end in `/`.
    Gcs {
        /// The bucket.
        bucket: String,
        /// What object names begin with.
        prefix: String,
    },
    /// `file:///directory`.
    Directory(PathBuf),
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} {why}"));
        let plain = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"#*?[]<>\"\\%".contains(&b))
        };
        if let Some(rest) = text.strip_prefix("gs://") {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let named = (3..=222).contains(&bucket.len())
                && bucket
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
            if !named {
                return wrong("names no bucket");
            }
            if !prefix.is_empty() && !prefix.split('/').all(plain) {
                return wrong("has no plain prefix");
            }
            return Ok(Self::Gcs {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            });
        }
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') && path.trim_matches('/').split('/').all(plain) => {
                Ok(Self::Directory(PathBuf::from(path)))
            }
            Some(_) => wrong("names no directory of this host (file:///directory)"),
            None => wrong("is neither gs://bucket/prefix nor file:///directory"),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gcs { bucket, prefix } if prefix.is_empty() => write!(f, "gs://{bucket}"),
            Self::Gcs { bucket, prefix } => write!(f, "gs://{bucket}/{prefix}"),
            Self::Directory(path) => write!(f, "file://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_a_bucket_with_a_prefix_or_a_directory() {
        for (text, shown) in [
            ("gs://backups", "gs://backups"),
            ("gs://backups/agnes/prod/", "gs://backups/agnes/prod"),
            ("file:///mnt/backups", "file:///mnt/backups"),
        ] {
            let remote: Remote = text.parse().unwrap();
            assert_eq!(remote.to_string(), shown);
        }
        for wrong in [
            "",
            "backups",
            "gs://",
            "gs://Upper",
            "gs://backups//x",
            "gs://backups/../x",
            "file://relative",
            "file:///",
            "file:///a/../b",
            "https://example.com/x",
        ] {
            assert!(wrong.parse::<Remote>().is_err(), "{wrong}");
        }
    }
}

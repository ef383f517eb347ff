//! What names an image: one reference, of a registry, a repository, and a tag or a digest.
//!
//! Always true: a reference is parsed once, as the Docker engine reads it; a digest never changes what it means, a tag may.
//!
//! Does not: ask anybody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The registry of names that have none.
const DOCKER_HUB: &str = "docker.io";

/// `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first twelve hexadecimal digits, for people and names.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or_default()
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("{text:?} is no digest of an image"))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Registry and repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// As it was written; what Compose and the engine's lists call it.
    name: String,
    /// `registry.example.com`, `127.0.0.1:5000` or `docker.io`.
    registry: String,
    /// `team/agnes`.
    path: String,
}

impl Repository {
    /// As it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry's host, and its port where there is one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether both mean the same place.
    pub fn is(&self, other: &Self) -> bool {
        (&self.registry, &self.path) == (&other.registry, &other.path)
    }
}

impl FromStr for Repository {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (first, rest) = name.split_once('/').unwrap_or(("", name));
        let has_registry = first.contains(['.', ':']) || first == "localhost";
        let (registry, path) = match (has_registry, first) {
            (true, _) => (first, rest.to_owned()),
            (false, "") => (DOCKER_HUB, format!("library/{name}")),
            (false, _) => (DOCKER_HUB, name.to_owned()),
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
        if rest.is_empty() || name.starts_with('/') || !path.bytes().all(plain) {
            return Err(format!("{name:?} is no image"));
        }
        // names of one place that people write in two ways
        let registry = match registry {
            "index.docker.io" => DOCKER_HUB,
            other => other,
        };
        let path = match (registry, path.contains('/')) {
            (DOCKER_HUB, false) => format!("library/{path}"),
            _ => path,
        };
        Ok(Self {
            name: name.to_owned(),
            registry: registry.to_owned(),
            path,
        })
    }
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Moves.
    Tag(String),
    /// Does not.
    Digest(Digest),
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where.
    pub repository: Repository,
    /// Which.
    pub version: Version,
}

impl Reference {
    /// The tag, if it is one.
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.repository.name),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.repository.name),
        }
    }
}

impl FromStr for Reference {
    type Err = String;

    /// `repository`, `repository:tag`, `repository@digest`; of `repository:tag@digest` the digest counts, as for the engine.
    fn from_str(text: &str) -> Result<Self, String> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (text, None),
        };
        let last = named.rsplit('/').next().unwrap_or_default();
        let (repository, tag) = match last.split_once(':') {
            Some((_, tag)) => (
                named.get(..named.len() - tag.len() - 1).unwrap_or_default(),
                Some(tag),
            ),
            None => (named, None),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if tag.is_some_and(|tag| tag.is_empty() || tag.len() > 128 || !tag.bytes().all(plain)) {
            return Err(format!("{text:?} has a tag that is none"));
        }
        Ok(Self {
            repository: repository.parse()?,
            version: match digest {
                Some(digest) => Version::Digest(digest),
                None => Version::Tag(tag.unwrap_or("latest").to_owned()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u15_any_name_of_an_image_is_read_as_the_engine_reads_it() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, registry, path, tag) in [
            ("agnes", "docker.io", "library/agnes", Some("latest")),
            ("team/agnes:1", "docker.io", "team/agnes", Some("1")),
            (
                "docker.io/agnes",
                "docker.io",
                "library/agnes",
                Some("latest"),
            ),
            ("localhost/agnes:x", "localhost", "agnes", Some("x")),
            (
                "127.0.0.1:5000/a/b:1.2",
                "127.0.0.1:5000",
                "a/b",
                Some("1.2"),
            ),
            (
                "registry.example.com/a",
                "registry.example.com",
                "a",
                Some("latest"),
            ),
            (&format!("a/b:x@{digest}"), "docker.io", "a/b", None),
        ] {
            let read: Reference = text.parse().unwrap();
            assert_eq!(read.repository.registry(), registry, "{text}");
            assert_eq!(read.repository.path(), path, "{text}");
            assert_eq!(read.tag(), tag, "{text}");
        }
        for text in [
            "",
            "/a",
            "a:",
            "A/b",
            "a@sha256:1",
            "127.0.0.1:5000/",
            "a:b c",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}

//! Names and paths in a journal, held to what we write before anything is done with them.
//!
//! Always true: a name is one part of a path and a path stays below where it is joined to: an entry that was damaged, or put
//! there by somebody who may write the state directory, leads to no file but those it may speak of.
//!
//! Does not: know whether there is such a file.

use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error};

/// One part of a path, neither empty nor `..`.
///
/// # Errors
/// Anything else.
pub fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    if is_name(&name) {
        Ok(name)
    } else {
        Err(D::Error::custom("a name that is no single part of a path"))
    }
}

/// Paths below a directory, each with what is said of it.
///
/// # Errors
/// One that is absolute, empty or leads up.
pub fn below<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(PathBuf, bool)>, D::Error> {
    let paths = Vec::<(PathBuf, bool)>::deserialize(from)?;
    if paths.iter().all(|(path, _)| is_below(path)) {
        Ok(paths)
    } else {
        Err(D::Error::custom("a path that leads out of its directory"))
    }
}

fn is_name(name: &str) -> bool {
    is_below(Path::new(name)) && !name.contains('/') && !name.chars().any(char::is_control)
}

fn is_below(path: &Path) -> bool {
    path.components().next().is_some()
        && path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Entry {
        #[serde(deserialize_with = "name")]
        id: String,
        #[serde(deserialize_with = "below")]
        paths: Vec<(PathBuf, bool)>,
    }

    fn read(id: &str, path: &str) -> serde_json::Result<Entry> {
        serde_json::from_value(serde_json::json!({"id": id, "paths": [[path, true]]}))
    }

    #[test]
    fn a_journal_leads_nowhere_but_below_its_own_directories() {
        let entry = read("20261126T070809Z-abab", "caddy/sites/a.caddy").unwrap();
        assert_eq!(entry.id, "20261126T070809Z-abab");
        assert_eq!(entry.paths, [(PathBuf::from("caddy/sites/a.caddy"), true)]);
        for id in ["", ".", "..", "a/b", "/etc", "a/..", "a\n", "./a", "a/"] {
            assert!(read(id, "a").is_err(), "{id:?}");
        }
        for path in ["", "/etc/passwd", "../a", "a/../../b", "."] {
            assert!(read("a", path).is_err(), "{path:?}");
        }
    }
}

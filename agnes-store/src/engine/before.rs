//! The copy before a migration.
//!
//! Always true: no migration of a file that holds anything begins without one; it has a name of its own, is never overwritten
//! and was opened and compared before it got that name; a crash loop uses one copy, not one a round (S04).
//!
//! Does not: delete copies: they are a person's to keep or to remove.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::content::{self, Content};
use super::copy::{self, Copied};
use super::error::OpenError;
use super::{Options, durable, prove};
use crate::clock;

/// Beside each copy, under its name with `.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    made_at: String,
    from: u32,
    to: u32,
    release: String,
    #[serde(flatten)]
    copied: Copied,
    content: Content,
}

/// Where the copies are.
const DIRECTORY: &str = "pre-migration";

/// Copies the checkpointed `database`, or finds the copy that an earlier attempt has made of the same content.
pub(crate) fn keep(
    options: &Options,
    database: &Path,
    root: &Connection,
    from: u32,
    to: u32,
) -> Result<PathBuf, OpenError> {
    let directory = options.state_dir.join(DIRECTORY);
    let failed = |why: String| OpenError::Copy {
        path: directory.clone(),
        why,
    };
    durable::directory(&directory).map_err(|e| failed(e.to_string()))?;
    let live = content::read(root).map_err(failed)?;
    sweep(&directory).map_err(|e| failed(e.to_string()))?;
    if let Some(copy) = same(options, &directory, &live, from) {
        return Ok(copy);
    }
    let now = clock::now();
    let name = format!("{}-v{from}-to-v{to}-{}", durable::stamp(now), random());
    let part = directory.join(format!("{name}.part"));
    let copied = copy::copy(options, database, &part).map_err(failed)?;
    let proven = prove(options, &part).and_then(|copy| {
        if copy == live {
            Ok(())
        } else {
            Err("the copy does not contain what the database contains".to_owned())
        }
    });
    if let Err(why) = proven {
        let _ = durable::remove(&part);
        return Err(failed(why));
    }
    let manifest = json!(Manifest {
        made_at: durable::rfc3339(now),
        from,
        to,
        release: options.release.clone(),
        copied,
        content: live,
    });
    let copy = directory.join(format!("{name}.duckdb"));
    let beside = directory.join(format!("{name}.json"));
    // the manifest first: a copy without one would be made again by every round of a crash loop
    durable::write(&beside, format!("{manifest:#}\n").as_bytes())
        .and_then(|()| durable::rename(&part, &copy))
        .map_err(|e| failed(e.to_string()))?;
    Ok(copy)
}

/// A copy of the same version and content that still opens.
fn same(options: &Options, directory: &Path, live: &Content, from: u32) -> Option<PathBuf> {
    std::fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .find_map(|path| {
            let manifest: Manifest = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            let copy = path.with_extension("duckdb");
            let same = manifest.from == from
                && manifest.content == *live
                && copy.is_file()
                && prove(options, &copy).is_ok_and(|content| content == *live);
            same.then_some(copy)
        })
}

/// Removes what a kill left unfinished; nobody else can be writing it, the lock is ours.
fn sweep(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "part") {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

/// Eight hex digits: two copies within a second have two names.
fn random() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    id.get(24..).unwrap_or_default().to_owned()
}

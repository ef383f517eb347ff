//! What our commands left: journals, records, ledgers, histories, alerts, looks, metrics.
//!
//! Always true: only files of ours are read, and no link is followed out of their directory.
//!
//! Does not: read secrets, certificates' keys, data, or what people did.

use std::path::Path;

use super::Gathered;
use crate::host::{Entry, Host};

/// Below `ops/`: each of them is of ours.
const DIRECTORIES: [&str; 6] = [
    "journal",
    "status",
    "ledger",
    "history/upgrade",
    "alerts",
    "metrics",
];
/// The same, single files.
const FILES: [&str; 2] = ["vitals.json", "agnesd.json"];
/// More files of one directory are old.
const MOST: usize = 200;

/// Adds them; without a deployment those of the host alone.
pub(super) fn gather(host: &Host, state_dir: Option<&Path>, gathered: &mut Gathered) {
    for name in ["status", "alerts"] {
        directory(
            host,
            &Path::new("/run/agnes").join(name),
            &format!("without-disk/{name}"),
            gathered,
        );
    }
    let Some(state_dir) = state_dir else {
        let why = "the settings do not say where the state is";
        gathered.left_out.push(("ops".to_owned(), why.to_owned()));
        return;
    };
    let ops = state_dir.join("ops");
    for name in DIRECTORIES {
        directory(host, &ops.join(name), &format!("ops/{name}"), gathered);
    }
    for name in FILES {
        file(host, &ops.join(name), &format!("ops/{name}"), gathered);
    }
    let incidents = host.list(&ops.join("incidents")).unwrap_or_default().len();
    if incidents > 0 {
        let why = format!("{incidents} records of what people did stay on the host");
        gathered.left_out.push(("ops/incidents".to_owned(), why));
    }
}

fn directory(host: &Host, path: &Path, name: &str, gathered: &mut Gathered) {
    // of a link in its place nobody knows where it leads
    if matches!(host.entry(path), Ok(Entry::Link(_) | Entry::Other)) {
        let why = format!("{}: is no directory", path.display());
        gathered.left_out.push((name.to_owned(), why));
        return;
    }
    match host.list(path) {
        Ok(mut names) => {
            let more = names.len().saturating_sub(MOST);
            names.sort_by_key(|name| host.modified_secs(&path.join(name)).unwrap_or_default());
            names.drain(..more);
            if more > 0 {
                let why = format!("{more} older ones of {}", path.display());
                gathered.left_out.push((name.to_owned(), why));
            }
            for one in names {
                file(host, &path.join(&one), &format!("{name}/{one}"), gathered);
            }
        }
        Err(why) => gathered.left_out.push((name.to_owned(), why.to_string())),
    }
}

fn file(host: &Host, path: &Path, name: &str, gathered: &mut Gathered) {
    match host.entry(path) {
        Ok(Entry::File { .. }) => {}
        Ok(Entry::Absent) => return,
        Ok(_) => {
            let why = format!("{}: is no regular file", path.display());
            gathered.left_out.push((name.to_owned(), why));
            return;
        }
        Err(why) => {
            gathered.left_out.push((name.to_owned(), why.to_string()));
            return;
        }
    }
    match host.read_end(path, super::MOST as u64 + 1) {
        Ok(bytes) => gathered.add(name, String::from_utf8_lossy(&bytes.unwrap_or_default())),
        Err(why) => gathered.left_out.push((name.to_owned(), why.to_string())),
    }
}

//! Real directories, real files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::settings::*;

mod layers;
mod problems;
mod values;

/// A deployment's directory with these files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    dir
}

fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

fn load_files(files: &[(&str, &str)]) -> Loaded {
    load(dir(files).path(), [], &[])
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    lines(&load_files(files).problems)
}

fn value<'a>(loaded: &'a Loaded, key: &str) -> &'a Value {
    loaded.values.iter().find(|v| v.key == key).unwrap()
}

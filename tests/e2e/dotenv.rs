//! `.env` as we read it against `.env` as Docker Compose reads it: the same files, the same values, the same refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agnes_config::dotenv::{self, Parsed};
use agnes_e2e::components;
use tempfile::TempDir;

mod cases;
mod random;

use cases::CASES;
pub(crate) use random::Random;

/// What a `.env` comes to: a value for each key, or the file refused.
pub(crate) type Reading = Result<BTreeMap<String, String>, String>;

/// The environment that both sides see.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("FROM_ENV", "env value"),
    ("EMPTY_ENV", ""),
    ("DOLLAR_ENV", "a$B"),
];

/// Names that the cases may set; Compose is asked for each of them.
const NAMES: &[&str] = &[
    "A",
    "B",
    "C",
    "A_B",
    "a",
    "A.B",
    "A-B",
    "é",
    "FROM_ENV",
    "EMPTY_ENV",
];

pub(crate) struct Compose {
    program: PathBuf,
    dir: TempDir,
}

impl Compose {
    /// The real plugin, where it is installed.
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            program: components::require("docker-compose")?,
            dir: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn read(&self, env: &[u8], names: &BTreeSet<String>) -> Reading {
        let dir = self.dir.path();
        fs::write(dir.join(".env"), env).unwrap();
        let file = serde_json::json!({
            "name": "dotenv",
            "services": {"x": {"image": "x", "environment": names}},
        });
        fs::write(dir.join("compose.yaml"), file.to_string()).unwrap();
        let output = Command::new(&self.program)
            .args(["config", "--format", "json"])
            .current_dir(dir)
            .env_clear()
            .env("HOME", dir)
            .envs(ENVIRONMENT.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let reasons = [".env", "template", "required variable", "setenv"];
            let ours = reasons.iter().any(|reason| stderr.contains(reason));
            assert!(ours, "refused for another reason: {stderr}");
            return Err(stderr.into_owned());
        }
        let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let values = config["services"]["x"]["environment"].as_object().unwrap();
        Ok(values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.replace("$$", "$"))))
            .collect())
    }
}

fn parse(env: &[u8], home: &Path) -> Parsed {
    dotenv::parse(env, &|name| {
        if name == "HOME" {
            return Some(home.to_string_lossy().into_owned());
        }
        let found = ENVIRONMENT.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Our reading, with the environment over it as Compose has it.
fn ours(parsed: &Parsed, names: &BTreeSet<String>) -> Reading {
    if let Some(fault) = parsed.faults.first() {
        return Err(format!("line {}: {}", fault.line, fault.message));
    }
    let environment = |name: &String| {
        let found = ENVIRONMENT.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let value = |name: &String| {
        environment(name).or_else(|| parsed.get(name).map(|entry| entry.value.clone()))
    };
    Ok(names
        .iter()
        .filter_map(|name| Some((name.clone(), value(name)?)))
        .collect())
}

/// What both sides did.
enum Both {
    Read,
    Refused,
}

fn compare(compose: &Compose, env: &[u8]) -> Both {
    let parsed = parse(env, compose.dir.path());
    let mut names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let readable = |name: &&String| {
        !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    names.extend(
        parsed
            .entries
            .iter()
            .map(|entry| &entry.key)
            .filter(readable)
            .cloned(),
    );
    let (theirs, ours) = (compose.read(env, &names), ours(&parsed, &names));
    let text = String::from_utf8_lossy(env);
    match (&theirs, &ours) {
        (Ok(theirs), Ok(ours)) => {
            assert_eq!(theirs, ours, "Compose (left) reads {text:?} differently");
            Both::Read
        }
        (Err(_), Err(_)) => Both::Refused,
        (Ok(_), Err(fault)) => panic!("Compose reads {text:?}, we refuse it: {fault}"),
        (Err(refusal), Ok(_)) => panic!("Compose refuses {text:?}, we read it: {refusal}"),
    }
}

#[test]
fn every_case_reads_as_compose_reads_it() {
    let Some(compose) = Compose::find() else {
        return;
    };
    for case in CASES {
        compare(&compose, case.as_bytes());
    }
}

#[test]
fn random_files_read_as_compose_reads_them() {
    let Some(compose) = Compose::find() else {
        return;
    };
    let mut random = Random::seeded();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..cases() {
        match compare(&compose, random.file().as_bytes()) {
            Both::Read => read += 1,
            Both::Refused => refused += 1,
        }
    }
    println!("FIGURE dotenv-read {read} random files read as Compose reads them");
    println!("FIGURE dotenv-refused {refused} random files refused as Compose refuses them");
    assert!(read > 0 && refused > 0, "the alphabet must reach both");
}

#[test]
fn what_upsert_writes_compose_reads_back() {
    let Some(compose) = Compose::find() else {
        return;
    };
    let mut random = Random::seeded();
    let names: BTreeSet<String> = ["A", "B"].map(str::to_owned).into();
    let (mut written, mut refused) = (0, 0);
    for case in 0..cases() {
        let before = CASES[case % CASES.len()].as_bytes();
        let (a, b) = (random.value(), random.value());
        let Ok(after) = dotenv::upsert(before, &[("A", &a), ("B", &b)]) else {
            refused += 1;
            continue;
        };
        let text = String::from_utf8_lossy(&after).into_owned();
        let again = dotenv::upsert(&after, &[("A", &a), ("B", &b)]);
        assert_eq!(
            again.as_deref(),
            Ok(after.as_slice()),
            "not stable: {text:?}"
        );
        match compose.read(&after, &names) {
            Ok(read) => {
                assert_eq!(read.get("A"), Some(&a), "{text:?}");
                assert_eq!(read.get("B"), Some(&b), "{text:?}");
            }
            // A variable that only an environment gives is none of upsert's business.
            Err(refusal) => assert!(refusal.contains("required variable"), "{text:?}: {refusal}"),
        }
        written += 1;
    }
    println!("FIGURE dotenv-written {written} random values written that Compose reads back");
    println!("FIGURE dotenv-not-written {refused} random values refused rather than written");
    assert!(written > refused, "most files must be writable");
}

/// How many random cases: a sample, or what `AGNES_CASES` says.
fn cases() -> usize {
    let cases = std::env::var("AGNES_CASES").ok();
    cases.map_or(150, |cases| cases.parse().unwrap())
}

//! The configuration that came with the machine becomes `agnes.toml` and lines of `.env`.
//!
//! Always true: what a person has changed or taken out since stays as it is and is named; other keys and comments of `.env` stay (B04); what is
//! about to be written is written down first, so that a run that is killed meanwhile is not taken for a person; what is no longer given goes.
//!
//! Does not: judge it (`given` did).

use std::collections::BTreeMap;
use std::path::Path;

use agnes_config::Texts;
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::given::Given;
use crate::env_file::EnvFile;
use crate::host::Host;
use crate::host_record::HostRecord;
use crate::sha256::sha256;

const TOML: &str = "agnes.toml";
/// Before the key of a line of `.env`.
const ENV: &str = ".env/";

/// What becomes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// What is written.
    pub written: Vec<String>,
    /// What is no longer given, and is taken out.
    pub removed: Vec<String>,
    /// What a person has changed since, and stays.
    pub kept: Vec<String>,
    /// Lines that a person has taken out since, and that stay out.
    pub left_out: Vec<String>,
}

/// What is to be done so that the deployment has what the machine was given.
pub struct Plan {
    env_file: EnvFile,
    record: HostRecord,
    /// Of what is about to be written or taken out.
    hashes: BTreeMap<String, String>,
    toml: String,
    dotenv: Zeroizing<Vec<u8>>,
    seeded: Seeded,
}

/// Looks at what is there.
///
/// # Errors
/// What the host refuses.
pub fn plan(host: &Host, dir: &Path, given: &Given) -> Result<Plan> {
    let path = dir.join(TOML);
    let named = || format!("{}: read", path.display());
    let there = host.read(&path).with_context(named)?;
    let there = there
        .map(String::from_utf8)
        .transpose()
        .with_context(named)?;
    let env_file = EnvFile::read(host, dir, &|_| None)?;
    let mut work = Work {
        record: HostRecord::read(host, dir)?,
        hashes: BTreeMap::new(),
        seeded: Seeded::default(),
    };
    let text = given.toml()?;
    let toml = match work.value(TOML, there.as_deref(), &text, false) {
        true => text,
        false => there.unwrap_or_default(),
    };
    let mut set = Vec::new();
    for (key, value) in given.env() {
        let name = format!("{ENV}{key}");
        if work.value(&name, env_file.text(key), value, env_file.is_there()) {
            set.push((key, value));
        }
    }
    let mut gone = work.no_longer(given);
    gone.retain(|key| work.taken_back(key, env_file.text(key)));
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let dotenv = match set.is_empty() && gone.is_empty() {
        true => env_file.bytes().to_vec().into(),
        false => env_file.with(&set, &gone)?,
    };
    Ok(Plan {
        env_file,
        record: work.record,
        hashes: work.hashes,
        toml,
        dotenv,
        seeded: work.seeded,
    })
}

struct Work {
    record: HostRecord,
    hashes: BTreeMap<String, String>,
    seeded: Seeded,
}

impl Work {
    fn is_ours(&self, name: &str, hash: &str) -> bool {
        let known = [&self.record.seeded, &self.record.seeding];
        known
            .iter()
            .any(|known| known.get(name).is_some_and(|known| known == hash))
    }

    /// Whether it is to be written.
    fn value(
        &mut self,
        name: &str,
        there: Option<&str>,
        given: &str,
        can_be_left_out: bool,
    ) -> bool {
        let hash = sha256(given.as_bytes());
        match there.map(|there| sha256(there.as_bytes())) {
            Some(there) if there == hash => {
                // written by a run that was killed before it said so
                if self.record.seeding.contains_key(name) {
                    self.record.seeded.insert(name.to_owned(), hash);
                }
                false
            }
            Some(there) if !self.is_ours(name, &there) => {
                self.seeded.kept.push(name.to_owned());
                false
            }
            None if can_be_left_out && self.record.seeded.contains_key(name) => {
                self.seeded.left_out.push(name.to_owned());
                false
            }
            there => {
                // it stays known as ours until it is another
                if let Some(there) = there {
                    self.record.seeded.insert(name.to_owned(), there);
                }
                self.hashes.insert(name.to_owned(), hash);
                self.seeded.written.push(name.to_owned());
                true
            }
        }
    }

    /// The keys that were given once.
    fn no_longer(&self, given: &Given) -> Vec<String> {
        let known = self.record.seeded.keys().chain(self.record.seeding.keys());
        let keys = known.filter_map(|name| name.strip_prefix(ENV));
        let mut gone: Vec<String> = keys
            .filter(|key| !given.has(key))
            .map(str::to_owned)
            .collect();
        gone.sort();
        gone.dedup();
        gone
    }

    /// Whether a line that is no longer given is to be taken out.
    fn taken_back(&mut self, key: &str, there: Option<&str>) -> bool {
        let name = format!("{ENV}{key}");
        let hash = there.map(|there| sha256(there.as_bytes()));
        let ours = hash.filter(|hash| self.is_ours(&name, hash));
        self.record.seeded.remove(&name);
        let Some(hash) = ours else { return false };
        self.hashes.insert(name.clone(), hash);
        self.seeded.removed.push(name);
        true
    }
}

impl Plan {
    /// What the two files will say.
    pub fn texts(&self) -> Texts<'_> {
        Texts {
            toml: &self.toml,
            dotenv: &self.dotenv,
        }
    }

    /// What is done, before or without doing it.
    pub fn seeded(self) -> Seeded {
        self.seeded
    }

    /// Does it.
    ///
    /// # Errors
    /// What the host refuses; the next run goes on.
    pub fn apply(self, host: &Host, dir: &Path) -> Result<Seeded> {
        let Self {
            mut record, seeded, ..
        } = self;
        if !self.hashes.is_empty() {
            record.seeding = self.hashes;
            record.write(host, dir)?;
        }
        if seeded.written.iter().any(|name| name == TOML) {
            host.install(&dir.join(TOML), self.toml.as_bytes(), 0o644, None)?;
        }
        let lines = seeded.written.iter().chain(&seeded.removed);
        if { lines }.any(|name| name != TOML) {
            self.env_file.replace(host, &self.dotenv)?;
        }
        for (name, hash) in std::mem::take(&mut record.seeding) {
            if seeded.written.contains(&name) {
                record.seeded.insert(name, hash);
            }
        }
        if HostRecord::read(host, dir)? != record {
            record.write(host, dir)?;
        }
        Ok(seeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        Given::parse(text.as_bytes()).unwrap()
    }

    fn run(dir: &Path, given: &Given) -> Seeded {
        let host = Host::of_tests();
        plan(&host, dir, given).unwrap().apply(&host, dir).unwrap()
    }

    #[test]
    fn b04_what_a_person_wrote_stays_and_what_we_wrote_follows() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), "# ours\nCADDY_IMAGE=mine\n").unwrap();
        let first = given(
            r#"{"version":1,"env":{"DOMAIN":"a.example.com","AGNES_TAG":"stable"},"settings":{"upgrade":{"mode":"manual","window":null}}}"#,
        );
        let seeded = run(dir.path(), &first);
        assert_eq!(
            seeded.written,
            ["agnes.toml", ".env/AGNES_TAG", ".env/DOMAIN"]
        );
        assert_eq!(run(dir.path(), &first), Seeded::default());
        let env = || std::fs::read_to_string(dir.path().join(".env")).unwrap();
        assert!(env().starts_with("# ours\nCADDY_IMAGE=mine\n"), "{}", env());

        // a person's turn
        let edited = env().replace("a.example.com", "b.example.com");
        std::fs::write(dir.path().join(".env"), edited).unwrap();
        let second = given(
            r#"{"version":1,"env":{"DOMAIN":"c.example.com","AGNES_TAG":"1.2"},"settings":{"upgrade":{"mode":"off"}}}"#,
        );
        let seeded = run(dir.path(), &second);
        assert_eq!(seeded.kept, [".env/DOMAIN"]);
        assert_eq!(seeded.written, ["agnes.toml", ".env/AGNES_TAG"]);
        assert!(
            env().contains("b.example.com") && env().contains("1.2"),
            "{}",
            env()
        );

        std::fs::write(dir.path().join("agnes.toml"), "# mine\n").unwrap();
        assert_eq!(run(dir.path(), &first).kept, ["agnes.toml", ".env/DOMAIN"]);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("agnes.toml")).unwrap(),
            "# mine\n"
        );
    }

    #[test]
    fn b04_a_line_that_a_person_took_out_stays_out_and_one_that_is_no_longer_given_goes() {
        let dir = tempfile::tempdir().unwrap();
        let of = |env: serde_json::Value| {
            let document = serde_json::json!({"version": 1, "env": env});
            given(&document.to_string())
        };
        let both = of(
            serde_json::json!({"DOMAIN": "a.example.com", "AGNES_TAG": "stable", "METRICS_ADDR": ""}),
        );
        run(dir.path(), &both);
        assert_eq!(run(dir.path(), &both), Seeded::default());
        let path = dir.path().join(".env");
        let without = |key: &str| {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with(key));
            let left: Vec<&str> = lines.collect();
            std::fs::write(&path, left.join("\n")).unwrap();
        };
        without("DOMAIN");
        assert_eq!(run(dir.path(), &both).left_out, [".env/DOMAIN"]);
        let neither = of(serde_json::json!({}));
        let gone = [".env/AGNES_TAG", ".env/METRICS_ADDR"];
        assert_eq!(run(dir.path(), &neither).removed, gone);
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "");
        // given anew, all of them are
        assert_eq!(run(dir.path(), &both).written.len(), 3);
        // a file that was lost is no word of a person's
        std::fs::remove_file(&path).unwrap();
        assert_eq!(run(dir.path(), &both).written.len(), 3);
    }
}

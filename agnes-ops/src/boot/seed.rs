//! The configuration that came with the machine becomes `agnes.toml` and lines of `.env`.
//!
//! Always true: what a person has changed since stays as it is and is named; other keys and comments of `.env` stay (B04).
//!
//! Does not: judge it (`given` did).

use std::path::Path;

use anyhow::{Context as _, Result};

use super::given::Given;
use crate::env_file::EnvFile;
use crate::host::Host;
use crate::host_record::HostRecord;
use crate::sha256::sha256;

const TOML: &str = "agnes.toml";

/// What became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// What was written, or would be.
    pub written: Vec<String>,
    /// What a person has changed since, and stays.
    pub kept: Vec<String>,
}

/// Whether it is only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is done.
    Real,
    /// It is only said.
    Dry,
}

/// Writes what is new of it.
///
/// # Errors
/// What the host refuses.
pub fn seed(host: &Host, dir: &Path, given: &Given, run: Run) -> Result<Seeded> {
    let mut record = HostRecord::read(host, dir)?;
    let mut seeded = Seeded::default();
    let text = given.toml()?;
    let path = dir.join(TOML);
    let there = host
        .read(&path)
        .with_context(|| format!("{}: read", path.display()))?;
    let is_ours = |name: &str, there: &[u8], record: &HostRecord| {
        record.seeded.get(name) == Some(&sha256(there))
    };
    match &there {
        Some(bytes) if bytes.as_slice() == text.as_bytes() => {}
        Some(bytes) if !is_ours(TOML, bytes, &record) => seeded.kept.push(TOML.to_owned()),
        _ => seeded.written.push(TOML.to_owned()),
    }
    let env_file = EnvFile::read(host, dir, &|_| None)?;
    let mut pairs = Vec::new();
    for (key, value) in given.env() {
        let name = format!(".env/{key}");
        match env_file.text(key) {
            Some(there) if there == value => {}
            Some(there) if !is_ours(&name, there.as_bytes(), &record) => seeded.kept.push(name),
            _ => {
                seeded.written.push(name);
                pairs.push((key, value));
            }
        }
    }
    if run == Run::Dry {
        return Ok(seeded);
    }
    if seeded.written.iter().any(|name| name == TOML) {
        host.install(&path, text.as_bytes(), 0o644, None)?;
    }
    if !pairs.is_empty() {
        env_file.write(host, &pairs)?;
    }
    let before = record.clone();
    for name in &seeded.written {
        let value = match name.strip_prefix(".env/") {
            Some(key) => given.value(key),
            None => &text,
        };
        record.seeded.insert(name.clone(), sha256(value.as_bytes()));
    }
    if record != before {
        record.write(host, dir)?;
    }
    Ok(seeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        Given::parse(text.as_bytes()).unwrap()
    }

    fn run(dir: &Path, given: &Given) -> Seeded {
        seed(&Host::of_tests(), dir, given, Run::Real).unwrap()
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
}

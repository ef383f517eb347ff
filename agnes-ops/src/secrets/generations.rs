//! `$STATE_DIR/secrets/<NAME>/`: every value a secret ever had, and a link that says which counts.
//!
//! Always true: a generation is written once, whole, 0600; a number is used once; `current` names a generation that was
//! durable before it did.
//!
//! Does not: remove a generation. What was retired is known from here, and must not come back.

use std::path::{Path, PathBuf};

use agnes_config::Secret;
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use crate::host::{Entry, Host};

const CURRENT: &str = "current";
const PRIVATE: u32 = 0o700;
/// Others pass through to `live`, and see nothing.
const PASSABLE: u32 = 0o711;

/// `$STATE_DIR/secrets`.
#[derive(Debug, Clone)]
pub(super) struct Generations {
    directory: PathBuf,
}

/// What `current` stands for.
#[derive(Debug, Clone)]
pub(super) enum Current {
    /// There is no generation.
    Absent,
    /// This one.
    Sound {
        /// Its number.
        number: u64,
        /// Its value.
        secret: Secret,
    },
    /// There are generations, and none can be taken for the one that counts.
    Damaged(String),
}

/// All that is there of one secret.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// The value that counts.
    pub(super) current: Current,
    /// Every sound value with its number, ascending.
    pub(super) values: Vec<(u64, Secret)>,
    /// The highest number that was ever used.
    pub(super) newest: u64,
}

impl Kept {
    /// The generation that has this value.
    pub(super) fn number_of(&self, value: &str) -> Option<u64> {
        let found = self.values.iter().rev();
        found
            .filter(|(_, secret)| secret.expose() == value)
            .map(|(number, _)| *number)
            .next()
    }

    /// The value that counts.
    pub(super) fn sound(&self) -> Option<&Secret> {
        match &self.current {
            Current::Sound { secret, .. } => Some(secret),
            _ => None,
        }
    }
}

impl Generations {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("secrets"),
        }
    }

    /// The directory of one secret.
    pub(super) fn of(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a generation is.
    pub(super) fn path(&self, name: &str, number: u64) -> PathBuf {
        self.of(name).join(number.to_string())
    }

    /// Reads what is kept of a secret.
    pub(super) fn read(&self, host: &Host, name: &str) -> Result<Kept> {
        let directory = self.of(name);
        let names = host
            .list(&directory)
            .with_context(|| format!("{}: list", directory.display()))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        let mut values = Vec::new();
        let mut unsound = Vec::new();
        for number in &numbers {
            match self.value(host, name, *number) {
                Ok(secret) => values.push((*number, secret)),
                Err(why) => unsound.push((*number, why)),
            }
        }
        let newest = numbers.last().copied().unwrap_or_default();
        let current = match host.entry(&directory.join(CURRENT)) {
            Ok(Entry::Absent) if numbers.is_empty() => Current::Absent,
            // a run that was killed before the link was made: what it wrote was whole
            Ok(Entry::Absent) => match values.last() {
                Some((number, secret)) => Current::Sound {
                    number: *number,
                    secret: secret.clone(),
                },
                None => Current::Damaged("no generation can be read".to_owned()),
            },
            Ok(Entry::Link(target)) => {
                let number = target.to_str().and_then(|text| text.parse::<u64>().ok());
                let value = number.and_then(|number| {
                    let (_, secret) = values.iter().find(|(known, _)| *known == number)?;
                    Some((number, secret.clone()))
                });
                match (value, number) {
                    (Some((number, secret)), _) => Current::Sound { number, secret },
                    (None, Some(number)) => {
                        let why = unsound.iter().find(|(known, _)| *known == number);
                        let why = why.map_or("is not there", |(_, why)| why.as_str());
                        Current::Damaged(format!("generation {number} {why}"))
                    }
                    (None, None) => {
                        Current::Damaged(format!("`current` names {}", target.display()))
                    }
                }
            }
            Ok(_) => Current::Damaged("`current` is no link".to_owned()),
            Err(error) => Current::Damaged(format!("`current` cannot be read: {error}")),
        };
        Ok(Kept {
            current,
            values,
            newest,
        })
    }

    fn value(&self, host: &Host, name: &str, number: u64) -> Result<Secret, String> {
        let bytes = host.read(&self.path(name, number));
        let bytes = bytes.map_err(|error| format!("cannot be read: {error}"))?;
        let bytes = Zeroizing::new(bytes.ok_or("is not there")?);
        match std::str::from_utf8(&bytes) {
            Ok("") => Err("is empty".to_owned()),
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err("is not UTF-8".to_owned()),
        }
    }

    /// Adds a value and makes it the current one; its number.
    pub(super) fn add(&self, host: &Host, name: &str, kept: &Kept, secret: &Secret) -> Result<u64> {
        let number = kept.newest + 1;
        self.add_as(host, name, number, secret)?;
        Ok(number)
    }

    /// As [`Generations::add`], under a number that was never used.
    pub(super) fn add_as(
        &self,
        host: &Host,
        name: &str,
        number: u64,
        secret: &Secret,
    ) -> Result<()> {
        self.prepare(host, name)?;
        host.create(&self.path(name, number), secret.expose().as_bytes(), 0o600)?;
        self.make_current(host, name, number)
    }

    /// Makes a generation that is there the current one.
    pub(super) fn make_current(&self, host: &Host, name: &str, number: u64) -> Result<()> {
        let link = self.of(name).join(CURRENT);
        host.link(Path::new(&number.to_string()), &link)?;
        Ok(())
    }

    /// The directories of one secret.
    fn prepare(&self, host: &Host, name: &str) -> Result<()> {
        if let Some(parent) = self.directory.parent() {
            host.make_dir(parent)?;
        }
        host.make_dir_as(&self.directory, PASSABLE, None)?;
        host.make_dir_as(&self.of(name), PRIVATE, None)?;
        Ok(())
    }
}

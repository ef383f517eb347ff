//! Digests that were tried and are bad: they are not tried again until the tag moves on or a person forgives them (U08).
//!
//! Always true: one entry for a digest; an unreadable ledger stops an upgrade, for it may hold the very digest.
//!
//! Does not: judge a version.

use std::path::PathBuf;

use agnes_config::Settings;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::deployment::Deployment;
use crate::host::Host;
use crate::image::Digest;
use crate::outcome::{Outcome, Report};
use crate::state_file;

/// `upgrade forgive`: a digest may be tried again.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn forgive(deployment: Deployment<'_>, digest: &Digest) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let mut ledger = Ledger::read(host, settings)?;
    if !ledger.forgive(host, settings, digest)? {
        let text = format!("{} was not in the ledger", digest.short());
        return Ok(Report::ok(Outcome::Unchanged, text));
    }
    let text = format!("{} may be tried again", digest.short());
    Ok(Report::ok(Outcome::Changed, text).detail("ledger", serde_json::json!(ledger.bad)))
}

/// A version that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which.
    pub digest: Digest,
    /// In one line.
    pub why: String,
    /// When it was tried.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Bad {
    /// That it is left alone, and how that is undone.
    pub fn not_tried_again(&self) -> String {
        format!(
            "{} is not tried again: {}; agnes-ops upgrade forgive {}",
            self.digest.short(),
            self.why,
            self.digest
        )
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// In the order in which they were tried.
    pub bad: Vec<Bad>,
}

impl Ledger {
    fn path(settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/ledger/upgrade.json")
    }

    /// Reads it; absent: nothing was bad yet.
    ///
    /// # Errors
    /// When it is there and not understood.
    pub fn read(host: &Host, settings: &Settings) -> Result<Self> {
        let kept = state_file::read(host, &Self::path(settings))?;
        Ok(kept.unwrap_or_default())
    }

    /// The entry of a digest.
    pub fn entry(&self, digest: &Digest) -> Option<&Bad> {
        self.bad.iter().find(|bad| bad.digest == *digest)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, host: &Host, settings: &Settings, bad: Bad) -> Result<()> {
        self.bad.retain(|known| known.digest != bad.digest);
        self.bad.push(bad);
        self.write(host, settings)
    }

    /// Takes an entry away; whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forgive(&mut self, host: &Host, settings: &Settings, digest: &Digest) -> Result<bool> {
        let before = self.bad.len();
        self.bad.retain(|known| known.digest != *digest);
        if self.bad.len() == before {
            return Ok(false);
        }
        self.write(host, settings)?;
        Ok(true)
    }

    fn write(&self, host: &Host, settings: &Settings) -> Result<()> {
        state_file::write(host, &Self::path(settings), self)
    }
}

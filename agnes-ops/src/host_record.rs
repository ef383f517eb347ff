//! What a host knows of itself: `<DIR>/.host.json`, on the boot disk, so that a data disk that was swapped is told from the one that was here.
//!
//! Always true: written whole and durable; one that is not there says nothing, one that is not understood is an error.
//!
//! Does not: know what its entries mean.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::state_file;

/// In the deployment's directory.
const FILE: &str = ".host.json";

/// The whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The data disk's sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// A format that has begun and is not known to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatting: Option<Formatting>,
    /// SHA-256 of each file and value as `boot` last wrote it: `agnes.toml`, and `.env/<KEY>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seeded: BTreeMap<String, String>,
    /// The same of what a `boot` was about to write or take out, until it has: so that one that was killed meanwhile knows its own again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seeding: BTreeMap<String, String>,
}

/// A device that was proven blank, and what is being made on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formatting {
    /// `host.data_device`.
    pub device: String,
    /// Its size.
    pub size_bytes: u64,
    /// The file system's, chosen before it was made.
    pub uuid: String,
}

impl HostRecord {
    /// Reads it; one that is not there says nothing.
    ///
    /// # Errors
    /// When it is there and not understood.
    pub fn read(host: &Host, dir: &Path) -> Result<Self> {
        Ok(state_file::read(host, &dir.join(FILE))?.unwrap_or_default())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, host: &Host, dir: &Path) -> Result<()> {
        state_file::write(host, &dir.join(FILE), self)
    }
}

//! A restore on its way, as the journal holds it.
//!
//! Always true: each phase names what the next run has to undo or finish.
//!
//! Does not: change anything.

use std::path::PathBuf;

use agnes_config::Settings;
use serde::{Deserialize, Serialize};

use crate::journal::named;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The copy is made and proven beside the live data.
    Preparing,
    /// Writes are being held, or are.
    Holding,
    /// The server is being stopped, and the data exchanged.
    Exchanging,
    /// The server is being started on the restored data.
    Starting,
    /// It is proven: only tidying is left.
    Proven,
    /// The data that was there is being put back.
    Undoing,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Names the hold and where the replaced data is.
    #[serde(deserialize_with = "named::name")]
    pub id: String,
    /// How far it is.
    pub phase: Phase,
    /// What is put back.
    pub snapshot: String,
    /// Whether the server ran before.
    pub ran: bool,
    /// Files of the configuration that are replaced too, below the deployment's directory; `true`: there was one before.
    #[serde(deserialize_with = "named::below")]
    pub configuration: Vec<(PathBuf, bool)>,
    /// Secrets in `.env` are replaced too.
    #[serde(default)]
    pub secrets: bool,
    /// Why it is being undone.
    pub why: Option<String>,
}

impl Transaction {
    /// Where the data that was there is put.
    pub fn replaced(&self, settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/replaced").join(&self.id)
    }

    /// The name of the room where the copy is proven.
    pub fn room(&self) -> String {
        format!("restore-{}", self.id)
    }

    /// That room.
    pub fn room_path(&self, settings: &Settings) -> PathBuf {
        settings.state_dir.join("ops/scratch").join(self.room())
    }
}

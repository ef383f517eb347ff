//! Why a swap does not go on.
//!
//! Always true: each failure names its step, and whether the version itself is to blame.
//!
//! Does not: undo anything.

use anyhow::Result;

/// Why a swap does not go on.
#[derive(Debug)]
pub enum Stop {
    /// Something has to pass first: its reason, and a sentence.
    Deferred(&'static str, String),
    /// It failed.
    Failed(Failed),
}

/// A step that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Which step.
    pub step: &'static str,
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub why: String,
    /// The version is to blame.
    pub bad: bool,
}

/// A failure of the host's, at a step.
pub(super) trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Stop>;
}

impl<T, E: Into<anyhow::Error>> At<T> for Result<T, E> {
    fn at(self, step: &'static str) -> Result<T, Stop> {
        self.map_err(|error| {
            let error: anyhow::Error = error.into();
            failed(step, "host-error", format!("{error:#}"))
        })
    }
}

pub(super) fn failed(step: &'static str, reason: &'static str, why: impl Into<String>) -> Stop {
    Stop::Failed(Failed {
        step,
        reason,
        why: why.into(),
        bad: false,
    })
}

pub(super) fn version_failed(step: &'static str, reason: &'static str, why: String) -> Stop {
    Stop::Failed(Failed {
        step,
        reason,
        why,
        bad: true,
    })
}

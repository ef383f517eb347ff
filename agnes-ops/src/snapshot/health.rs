//! How the snapshots stand, in figures: for whoever looks at the whole deployment.
//!
//! Always true: reads only; what is damaged is no way back, however fresh.
//!
//! Does not: open one.

use anyhow::Result;
use time::{Duration, OffsetDateTime};

use super::list::listed;
use super::manifest::made_at;
use super::proven::{Ledger, Standing};
use crate::deployment::Deployment;

/// How they stand.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The newest that is not damaged, and its age.
    pub newest: Option<(String, Duration)>,
    /// The newest that was proven, and its age.
    pub newest_proven: Option<(String, Duration)>,
    /// Those that are not what they say.
    pub damaged: Vec<String>,
    /// How long the last drill took; `None`: there was none.
    pub rto_ms: Option<u64>,
    /// How long ago something was pushed to where it is pushed now.
    pub pushed: Option<Duration>,
}

/// Looks.
///
/// # Errors
/// When something cannot be read.
pub fn health(deployment: Deployment<'_>) -> Result<Health> {
    let now = deployment.host.now();
    let ledger = Ledger::read(deployment.host, deployment.settings)?;
    let remote = &deployment.settings.snapshot.push_to;
    let remote = remote.as_ref().map(ToString::to_string);
    let mut health = Health {
        rto_ms: ledger.last_drill.as_ref().map(|drill| drill.rto_ms),
        pushed: remote
            .and_then(|remote| ledger.pushed.get(&remote))
            .map(|pushed| now - pushed.at),
        ..Health::default()
    };
    for one in listed(deployment)? {
        let told = one.manifest.as_ref().map(|manifest| manifest.created_at);
        let age = |at: OffsetDateTime| now - at;
        let made = made_at(&one.id).or(told).map(age);
        match (one.standing, made) {
            (Standing::Failed, _) => health.damaged.push(one.id),
            (standing, Some(age)) => {
                if matches!(standing, Standing::Proven(_)) {
                    health.newest_proven = Some((one.id.clone(), age));
                }
                health.newest = Some((one.id, age));
            }
            (_, None) => {}
        }
    }
    Ok(health)
}

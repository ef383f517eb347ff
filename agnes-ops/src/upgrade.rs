//! Upgrades: what runs, what is wanted, and whether the one may become the other now.
//!
//! ```text
//! observe, plan            what a tick would do
//! apply                    one tick
//! swap                     its steps, each with its undo; transaction: how far it is
//! host_files               what of the host comes with an image
//! rehearse, gate           what the new version has to show, before and after
//! first                    a host that runs nothing yet
//! ledger, hold, waiting    what keeps a version from being tried
//! applied, drift           files and services that are not as they were applied
//! ```
//!
//! Always true: what is compared are digests, the running one with the wanted one, at every look (U02); a registry that refuses
//! is never taken for one that has nothing new.
//!
//! Does not: know what is inside an image.

mod applied;
mod apply;
mod check;
mod containers;
mod drift;
mod expected;
mod explain;
pub mod first;
mod gate;
mod history;
mod hold;
mod host_files;
mod ledger;
mod login;
mod observe;
mod pin;
mod plan;
mod preflight;
mod prune;
mod rehearsal;
mod rehearse;
mod replicas;
mod report;
mod rollback;
mod steps;
mod swap;
mod transaction;
mod waiting;

pub use apply::{Options, apply, finish_open};
pub use check::{check, drift as drifted};
pub use explain::explain;
pub use history::{Commit, history, last_commit};
pub use hold::{hold, next_tick, unhold};
pub use ledger::forgive;
pub use login::Home;
pub use observe::wanted_now as wanted;
pub use rehearsal::rehearse;
pub use rollback::rollback;

/// The service that is upgraded; all else of the stack comes with it.
pub const SERVICE: &str = "app";

/// What an upgrade looks at besides the deployment.
pub struct Surroundings<'a> {
    /// `DOCKER_HOST`.
    pub docker_host: Option<&'a str>,
    /// Where the Docker client keeps credentials.
    pub docker_home: Home,
}

use std::path::Path;

use crate::journal::Journal;

/// The journal of upgrades.
fn journal(state_dir: &Path) -> Journal {
    Journal::new(state_dir, "upgrade")
}

//! What a command works on: one deployment on one host.
//!
//! Always true: every command gets the same three ways out of itself, and no other.
//!
//! Does not: do anything.

use agnes_config::Settings;

use crate::fetch::Fetcher;
use crate::host::Host;

/// What every command works on.
#[derive(Clone, Copy)]
pub struct Deployment<'a> {
    /// The host.
    pub host: &'a Host,
    /// The settings.
    pub settings: &'a Settings,
    /// The way to the sources.
    pub fetcher: &'a Fetcher,
}

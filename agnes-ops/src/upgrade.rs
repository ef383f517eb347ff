//! Upgrades: what runs, what is wanted, and whether the one may become the other now.
//!
//! Always true: what is compared are digests, the running one with the wanted one, at every look (U02); a registry that refuses
//! is never taken for one that has nothing new.
//!
//! Does not: pull or swap yet; what it says is what a tick would find.

mod check;
mod hold;
mod login;
mod observe;
mod plan;

pub use check::check;
pub use hold::{hold, unhold};
pub use login::Home;

/// The service that is upgraded; all else of the stack comes with it.
const SERVICE: &str = "app";

/// What an upgrade looks at besides the deployment.
pub struct Surroundings<'a> {
    /// `DOCKER_HOST`.
    pub docker_host: Option<&'a str>,
    /// Where the Docker client keeps credentials.
    pub docker_home: Home,
}

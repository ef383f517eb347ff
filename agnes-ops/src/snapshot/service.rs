//! The server as something that is stopped and started.
//!
//! Always true: it is stopped by its own grace and never killed by us; what was not running is not started.
//!
//! Does not: prove that it serves (the gate does).

use anyhow::Result;

use super::{SERVICE, Surroundings};
use crate::compose;
use crate::deployment::Deployment;
use crate::engine::Engine;

/// Who starts and stops the server; one for each way to run it.
pub trait Service {
    /// Whether it runs, or is started again and again.
    ///
    /// # Errors
    /// When that cannot be seen, or it runs and is not ours to stop.
    fn runs(&self) -> Result<bool>;

    /// Stops it; one that does not run is fine.
    ///
    /// # Errors
    /// When it does not stop, or not cleanly.
    fn stop(&self) -> Result<()>;

    /// Starts it; whether it serves is another question.
    ///
    /// # Errors
    /// When it does not start.
    fn start(&self) -> Result<()>;
}

/// The service `app` of the Compose project.
pub struct Composed<'a> {
    pub deployment: Deployment<'a>,
    pub surroundings: Surroundings<'a>,
}

impl Service for Composed<'_> {
    fn runs(&self) -> Result<bool> {
        let engine = Engine::of(self.surroundings.docker_host)?;
        let containers = engine.containers(&self.deployment.settings.dir)?;
        let mut app = containers.iter().filter(|one| one.service == SERVICE);
        Ok(app.any(|one| one.is_kept_up()))
    }

    fn stop(&self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        compose::stop(host, &settings.dir, SERVICE).map_err(|why| anyhow::anyhow!(why))
    }

    fn start(&self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        compose::start(host, &settings.dir, SERVICE).map_err(|why| anyhow::anyhow!(why))
    }
}

//! Services of which several containers run: one is replaced at a time, so that the others go on answering.
//!
//! Always true: another one is taken away only when every one that was replaced is well; one that does not become well ends it,
//! and those that are left as they were go on.
//!
//! Does not: replace the server, of which there is one, or what keeps something of its own: Compose does that, all of a service at once.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::SERVICE;
use super::containers::Docker;
use crate::deployment::Deployment;
use crate::engine::{Container, Engine, Inspected};

/// Between two looks.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// Brings every such service to what the files say.
///
/// # Errors
/// The service whose new container is not well, or what the engine and Compose say.
pub fn one_by_one(deployment: Deployment<'_>, engine: &Engine, docker: &Docker<'_>) -> Result<()> {
    let mut services: BTreeMap<String, Vec<Container>> = BTreeMap::new();
    for one in engine.containers(&deployment.settings.dir)? {
        if one.service != SERVICE {
            services.entry(one.service.clone()).or_default().push(one);
        }
    }
    services.retain(|_, replicas| replicas.len() > 1);
    for (service, replicas) in services {
        // a service that the files do not know any more is Compose's to leave alone
        let Ok(wanted) = docker.config_hash(&service) else {
            continue;
        };
        let roll = Roll {
            deployment,
            engine,
            docker,
            service,
        };
        roll.to(&wanted, &replicas)?;
    }
    Ok(())
}

/// One service.
struct Roll<'a> {
    deployment: Deployment<'a>,
    engine: &'a Engine,
    docker: &'a Docker<'a>,
    service: String,
}

impl Roll<'_> {
    fn to(&self, wanted: &str, replicas: &[Container]) -> Result<()> {
        let (mut stale, mut fresh) = (Vec::new(), Vec::new());
        for one in replicas {
            let seen = self.engine.inspect(&one.id)?;
            if !self.is_as(wanted, one, &seen) {
                if seen.writes_to_mounts {
                    return Ok(());
                }
                stale.push((seen.is_well(), one.id.as_str()));
            } else if !seen.is_well() {
                fresh.push(one.id.as_str());
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
        // an earlier run ended with it, perhaps
        for one in fresh {
            self.complete()?;
            self.becomes_well(one)?;
        }
        // what does not work is no loss
        stale.sort_unstable();
        for (_, old) in stale {
            self.replace(old)?;
        }
        Ok(())
    }

    fn is_as(&self, wanted: &str, one: &Container, seen: &Inspected) -> bool {
        // the tag of its image may have moved
        let moved = |now: String| now != seen.image_id;
        let moved = self.engine.image_id(&seen.image).is_ok_and(moved);
        one.config_hash == wanted && !moved
    }

    fn replace(&self, old: &str) -> Result<()> {
        let before = self.replicas()?;
        self.docker
            .remove(old)
            .map_err(|why| anyhow::anyhow!("service {}: {why}", self.service))?;
        self.complete()?;
        for new in self.replicas()? {
            if !before.contains(&new) {
                self.becomes_well(&new)?;
            }
        }
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        let done = self.docker.complete(&self.service);
        done.map_err(|why| anyhow::anyhow!("service {}: {why}", self.service))
    }

    fn replicas(&self) -> Result<Vec<String>> {
        let all = self.engine.containers(&self.deployment.settings.dir)?;
        let of_it = all.into_iter().filter(|one| one.service == self.service);
        Ok(of_it.map(|one| one.id).collect())
    }

    /// Within the gate's timeout; one without health checks runs on for as long as a version has to be stable.
    fn becomes_well(&self, container: &str) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let gate = &settings.upgrade.gate;
        let begun = host.instant();
        loop {
            let seen = self.engine.inspect(container);
            let seen = seen.with_context(|| format!("service {}", self.service))?;
            let trusted = seen.health.is_some() || begun.elapsed() >= gate.stable_for;
            if seen.is_well() && trusted {
                return Ok(());
            }
            ensure!(
                seen.runs && seen.restarts == 0 && begun.elapsed() < gate.timeout,
                "service {}: a new container is not well; those that were not replaced run on",
                self.service
            );
            host.sleep(PAUSE);
        }
    }
}

//! The gate: what a version that was started has to show before it counts, the new one as well as the old one that is put back.
//!
//! Always true: it is bound to one container, by its id and the time its process started, before it answers and after, so that nobody
//! else's answer counts (U05); a version that restarts has failed; the server writes, reads and deletes a row before it passes, and its health check passes.
//!
//! Does not: start, stop or release anything.

use std::time::Duration;

use agnes_config::ServedAddress;
use anyhow::Result;
use serde_json::{Value, json};

use super::SERVICE;
use super::containers::Docker;
use super::transaction::Release;
use crate::deployment::Deployment;
use crate::engine::{Container, Engine, Inspected};
use crate::image::Digest;
use crate::served::{self, ControlSocket, Served};

/// A container is unhealthy when so many of its health checks in a row have failed.
const HEALTH_CHECKS: usize = 3;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// How things were before the swap.
#[derive(Debug, Clone)]
pub struct Before {
    /// Services that ran.
    pub services: Vec<String>,
    /// The chain that was presented.
    pub served: Option<Served>,
    /// Where something was mounted into the server's container, with what.
    pub mounts: Vec<(String, String)>,
    /// Names that its environment had.
    pub variables: Vec<String>,
}

impl Before {
    /// Looks.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn look(
        deployment: Deployment<'_>,
        engine: &Engine,
        containers: &[Container],
        app: &Inspected,
    ) -> Result<Self> {
        let running = containers.iter().filter(|one| one.runs());
        // what the image itself brings may be another in the next one
        let of_image = engine.image_environment(&app.image_id)?;
        let of_compose = app
            .environment
            .iter()
            .filter(|pair| !of_image.contains(pair));
        Ok(Self {
            services: running.map(|one| one.service.clone()).collect(),
            served: presented(deployment),
            mounts: app.mounts.clone(),
            variables: names(of_compose),
        })
    }
}

impl Before {
    /// What must still be so when files were changed on purpose: every service runs.
    pub fn services_alone(&self) -> Self {
        Self {
            services: self.services.clone(),
            served: None,
            mounts: Vec::new(),
            variables: Vec::new(),
        }
    }
}

fn names<'a>(environment: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names = environment.filter_map(|pair| pair.split_once('='));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn presented(deployment: Deployment<'_>) -> Option<Served> {
    let settings = deployment.settings;
    match &settings.tls.served_address {
        ServedAddress::Off => None,
        ServedAddress::At(address) => {
            let seen = served::look(address, settings.tls.domain.as_str(), HANDSHAKE);
            matches!(seen, Served::Chain(_)).then_some(seen)
        }
    }
}

/// One gate.
pub struct Gate<'a> {
    /// Of what.
    pub deployment: Deployment<'a>,
    /// The engine.
    pub engine: &'a Engine,
    /// The server's control socket.
    pub socket: &'a ControlSocket,
    /// What must run.
    pub release: &'a Release,
    /// A container that is not it.
    pub not: Option<&'a str>,
    /// How things were.
    pub before: Option<&'a Before>,
}

/// What was seen to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The container.
    pub container: String,
    /// When its process started.
    pub started_at: String,
    /// What the server said of itself.
    pub state: Value,
}

impl Passed {
    /// For the proof.
    pub fn to_json(&self) -> Value {
        json!({
            "container": self.container,
            "started_at": self.started_at,
            "version": self.state.get("version"),
            "digest": self.state.get("digest"),
            "schema": self.state.get("schema"),
            "audit_head": self.state.get("audit_head"),
        })
    }
}

/// Whether one look settles it.
enum Look {
    Passed(Passed),
    /// Not yet, or not any more.
    NotYet(String),
    /// Never.
    Failed(String),
}

impl Gate<'_> {
    /// Waits for the first look that passes.
    ///
    /// # Errors
    /// Why none did within the gate's timeout.
    pub fn first(&self) -> Result<Passed, String> {
        let timeout = self.deployment.settings.upgrade.gate.timeout;
        let begun = self.deployment.host.instant();
        loop {
            let why = match self.look() {
                Look::Passed(passed) => return Ok(passed),
                Look::Failed(why) => return Err(why),
                Look::NotYet(why) => why,
            };
            if begun.elapsed() >= timeout {
                return Err(format!("{why}, after {} s", timeout.as_secs()));
            }
            self.deployment.host.sleep(PAUSE);
        }
    }

    /// Whether what passed goes on passing for `stable_for`, and has everything that the one before it had.
    ///
    /// # Errors
    /// What did not.
    pub fn stays(&self, first: &Passed) -> Result<Passed, String> {
        let stable_for = self.deployment.settings.upgrade.gate.stable_for;
        let begun = self.deployment.host.instant();
        loop {
            let passed = match self.look() {
                Look::Passed(passed) if passed.started_at == first.started_at => passed,
                Look::Passed(_) => return Err("its process was started again".to_owned()),
                Look::NotYet(why) | Look::Failed(why) => return Err(why),
            };
            if begun.elapsed() >= stable_for {
                self.everything(&passed)?;
                return Ok(passed);
            }
            self.deployment.host.sleep(PAUSE);
        }
    }

    fn look(&self) -> Look {
        let container = match self.container() {
            Ok(Some(container)) => container,
            Ok(None) => return Look::NotYet("there is no new container".to_owned()),
            Err(why) => return Look::NotYet(why),
        };
        let before = match self.process(&container.id) {
            Ok(seen) => seen,
            Err(settled) => return settled,
        };
        let answers = self.server().and_then(|state| {
            Ok((
                state,
                self.health_check(&container.id, &before.health_check)?,
            ))
        });
        // answers take time on a busy host, and an engine starts a process that ended again within it
        let after = match self.process(&container.id) {
            Ok(seen) => seen,
            Err(settled) => return settled,
        };
        match answers {
            Ok((state, ())) if after.started_at == before.started_at => Look::Passed(Passed {
                container: container.id,
                started_at: after.started_at,
                state,
            }),
            Ok(_) => Look::NotYet("its process was started again while it was asked".to_owned()),
            Err(why) => Look::NotYet(why),
        }
    }

    /// The container's process, if it can still pass.
    fn process(&self, container: &str) -> Result<Inspected, Look> {
        let seen = self
            .engine
            .inspect(container)
            .map_err(|why| Look::NotYet(format!("{why:#}")))?;
        let never = if seen.image_id != self.release.image_id {
            "its container runs another image".to_owned()
        } else if seen.out_of_memory {
            "its process was killed for its memory".to_owned()
        } else if seen.restarts > 0 || seen.restarting {
            format!(
                "its process ended with {} and was started again",
                seen.exit_code
            )
        } else if !seen.runs {
            format!("its process ended with {}", seen.exit_code)
        } else {
            return Ok(seen);
        };
        Err(Look::Failed(never))
    }

    /// The container's own health check, which asks as callers do: the control socket may answer where they get nothing but errors.
    fn health_check(&self, container: &str, health_check: &[String]) -> Result<(), String> {
        if health_check.is_empty() {
            return Ok(());
        }
        let Deployment { host, settings, .. } = self.deployment;
        let docker = Docker::new(host, &settings.dir);
        let mut said = Ok(());
        // as the engine does: one check may be late on a busy host
        for _ in 0..HEALTH_CHECKS {
            said = docker.healthy(container, health_check);
            if said.is_ok() {
                break;
            }
        }
        said.map_err(|why| format!("its health check: {why}"))
    }

    fn container(&self) -> Result<Option<Container>, String> {
        let all = self.engine.containers(&self.deployment.settings.dir);
        let all = all.map_err(|why| format!("{why:#}"))?;
        let new = |one: &Container| one.service == SERVICE && Some(one.id.as_str()) != self.not;
        Ok(all.into_iter().find(new))
    }

    /// What the server says of itself, once it is ready, the right one, and has written.
    fn server(&self) -> Result<Value, String> {
        let state = self
            .socket
            .get("/v1/state")
            .map_err(|why| why.to_string())?;
        if state.get("ready").and_then(Value::as_bool) != Some(true) {
            return Err(format!(
                "it is not ready: {}",
                state.get("reasons").unwrap_or(&Value::Null)
            ));
        }
        let said: Option<Digest> = state
            .get("digest")
            .and_then(Value::as_str)
            .and_then(|digest| digest.parse().ok());
        if let (Some(said), Some(wanted)) = (&said, &self.release.digest)
            && said != wanted
        {
            return Err(format!("who answers runs {}", said.short()));
        }
        let canary = self.socket.post("/v1/canary", &json!({}));
        canary.map_err(|why| format!("the canary: {why}"))?;
        self.probes()?;
        Ok(state)
    }

    /// The operator's own probes, as a client asks them.
    fn probes(&self) -> Result<(), String> {
        let settings = self.deployment.settings;
        let ServedAddress::At(address) = &settings.tls.served_address else {
            return Ok(());
        };
        for path in &settings.upgrade.gate.probes {
            let status = served::status(address, settings.tls.domain.as_str(), path, HANDSHAKE);
            let status = status.map_err(|why| format!("the probe {path}: {why}"))?;
            if !(200..300).contains(&status) {
                return Err(format!("the probe {path}: HTTP {status}"));
            }
        }
        Ok(())
    }

    /// The mounts and variables of the one before (U07), every service that ran (U12), the certificate that was served.
    fn everything(&self, passed: &Passed) -> Result<(), String> {
        let Some(before) = self.before else {
            return Ok(());
        };
        let seen = self
            .engine
            .inspect(&passed.container)
            .map_err(|why| format!("{why:#}"))?;
        if let Some((at, _)) = before
            .mounts
            .iter()
            .find(|mount| !seen.mounts.contains(mount))
        {
            return Err(format!("what was mounted at {at} is not there"));
        }
        let has = names(seen.environment.iter());
        if let Some(name) = before.variables.iter().find(|name| !has.contains(name)) {
            return Err(format!("its environment lacks {name}"));
        }
        let all = self.engine.containers(&self.deployment.settings.dir);
        let all = all.map_err(|why| format!("{why:#}"))?;
        let runs = |service: &String| all.iter().any(|one| one.service == *service && one.runs());
        if let Some(service) = before.services.iter().find(|service| !runs(service)) {
            return Err(format!("service {service} does not run any more"));
        }
        if before.served.is_some() && presented(self.deployment) != before.served {
            return Err("another certificate is served than before".to_owned());
        }
        Ok(())
    }
}

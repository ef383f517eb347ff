//! What the checks look at, each thing once.
//!
//! Always true: reads only; what was asked once is not asked again, so that checks agree with each other.
//!
//! Does not: judge.

use std::cell::OnceCell;
use std::path::Path;

use agnes_config::{Loaded, Settings};
use serde_json::Value;

use crate::deployment::Deployment;
use crate::engine::{Container, Engine, Inspected};
use crate::env_file::Lookup;
use crate::host::Host;
use crate::outcome::Report;
use crate::served::{ControlSocket, NoAnswer};
use crate::tls::Survey;
use crate::units::Finding as UnitFinding;
use crate::{compose, secrets, tls, units, upgrade};

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// All that the settings say of themselves.
    pub loaded: &'a Loaded,
    /// What is looked at.
    pub deployment: Deployment<'a>,
    /// For the image.
    pub surroundings: &'a upgrade::Surroundings<'a>,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// The server's program.
    pub program: &'a Path,
}

/// One deployment, and what was seen of it.
pub struct Patient<'a> {
    pub(super) options: Options<'a>,
    state: OnceCell<Result<Value, NoAnswer>>,
    tls: OnceCell<Survey>,
    containers: OnceCell<Result<Vec<(Container, Inspected)>, String>>,
    secrets: OnceCell<Result<Report, String>>,
    units: OnceCell<Result<Vec<UnitFinding>, String>>,
}

impl<'a> Patient<'a> {
    /// One that nobody has looked at.
    pub fn new(options: Options<'a>) -> Self {
        Self {
            options,
            state: OnceCell::new(),
            tls: OnceCell::new(),
            containers: OnceCell::new(),
            secrets: OnceCell::new(),
            units: OnceCell::new(),
        }
    }

    pub(super) fn host(&self) -> &'a Host {
        self.options.deployment.host
    }

    pub(super) fn deployment(&self) -> Deployment<'a> {
        self.options.deployment
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.options.deployment.settings
    }

    /// What the running server says of itself.
    pub(super) fn state(&self, settings: &Settings) -> &Result<Value, NoAnswer> {
        self.state
            .get_or_init(|| ControlSocket::of(settings).get("/v1/state"))
    }

    /// The certificates, as they are and as they are served.
    pub(super) fn tls(&self, deployment: Deployment<'a>) -> &Survey {
        self.tls.get_or_init(|| tls::survey(deployment))
    }

    /// All containers of the stack; `Err`: the engine does not answer.
    pub(super) fn containers(
        &self,
        settings: &Settings,
    ) -> &Result<Vec<(Container, Inspected)>, String> {
        self.containers.get_or_init(|| {
            let look = || {
                let engine = Engine::of(self.options.surroundings.docker_host)?;
                let mut all = Vec::new();
                for container in engine.containers(&settings.dir)? {
                    let inspected = engine.inspect(&container.id)?;
                    all.push((container, inspected));
                }
                anyhow::Ok(all)
            };
            look().map_err(|why| format!("{why:#}"))
        })
    }

    /// `secrets check`.
    pub(super) fn secrets(&self, deployment: Deployment<'a>) -> &Result<Report, String> {
        self.secrets.get_or_init(|| {
            secrets::check(deployment, self.options.lookup).map_err(|why| format!("{why:#}"))
        })
    }

    /// What is wrong with the units.
    pub(super) fn units(&self, settings: &Settings) -> &Result<Vec<UnitFinding>, String> {
        self.units.get_or_init(|| {
            units::findings(self.host(), settings).map_err(|why| format!("{why:#}"))
        })
    }

    /// Whether the deployment has a stack of ours.
    pub(super) fn has_stack(&self, settings: &Settings) -> bool {
        let base = settings.dir.join("docker-compose.yml");
        settings.runtime == agnes_config::Runtime::Compose
            && matches!(self.host().size(&base), Ok(Some(_)))
    }

    /// The last record of a command.
    pub(super) fn record(&self, settings: &Settings, slug: &str) -> Option<Value> {
        let path = settings.state_dir.join(format!("ops/status/{slug}.json"));
        let bytes = self.host().read(&path).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The containers of a service that run, as processes.
    pub(super) fn processes(
        &self,
        settings: &Settings,
        service: &str,
    ) -> Result<Vec<compose::Container>, String> {
        let found = compose::containers(self.host(), &settings.dir, service);
        found.map_err(compose::Missing::into_clause)
    }

    /// When this host was started, in seconds since 1970-01-01T00:00:00Z; what happened before has no bearing on timers.
    pub(super) fn started_at(&self) -> i64 {
        let uptime = self.host().read("/proc/uptime".as_ref()).ok().flatten();
        let uptime = uptime.and_then(|text| String::from_utf8(text).ok());
        let secs = uptime.and_then(|text| text.split('.').next()?.parse::<i64>().ok());
        secs.map_or(0, |secs| self.host().now().unix_timestamp() - secs)
    }
}

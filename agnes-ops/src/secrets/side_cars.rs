//! Containers beside the server that were started with a secret in their environment.
//!
//! Always true: what a container has is what the engine says it was started with, not what its files say now; a variable whose
//! file (`<NAME>_FILE`) counts instead is not looked at.
//!
//! Does not: see callers outside the project (the server's state names those).

use agnes_config::{Runtime, Secret, Settings};
use serde_json::{Value, json};

use crate::compose::{self, Started};
use crate::host::Host;

/// The server's own service: it is asked, not looked at.
pub(super) const SERVER: &str = "app";

/// The containers of the project.
pub(super) struct Containers(Vec<Started>);

/// One service that has a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideCar {
    pub(super) service: String,
    /// Its value is the one that counts.
    pub(super) moved: bool,
}

impl Containers {
    /// Looks at them; there are none without Compose.
    ///
    /// # Errors
    /// One clause.
    pub(super) fn look(host: &Host, settings: &Settings) -> Result<Self, String> {
        match settings.runtime {
            Runtime::Process => Ok(Self(Vec::new())),
            Runtime::Compose => compose::started(host, &settings.dir).map(Self),
        }
    }

    /// Those that were started with `name`, a line for each service, and whether they have `value`.
    pub(super) fn with(&self, name: &str, value: &Secret) -> Vec<SideCar> {
        let mut found: Vec<SideCar> = Vec::new();
        for container in &self.0 {
            let Some(has) = container.variable(name).filter(|has| !has.is_empty()) else {
                continue;
            };
            let by_file = container.variable(&format!("{name}_FILE"));
            if by_file.is_some_and(|path| !path.is_empty()) || container.service == SERVER {
                continue;
            }
            let moved = has == value.expose();
            match found
                .iter_mut()
                .find(|one| one.service == container.service)
            {
                Some(replica) => replica.moved &= moved,
                None => found.push(SideCar {
                    service: container.service.clone(),
                    moved,
                }),
            }
        }
        found
    }
}

/// The services that have another value.
pub(super) fn not_moved(all: &[SideCar]) -> Vec<&str> {
    all.iter()
        .filter(|one| !one.moved)
        .map(|one| one.service.as_str())
        .collect()
}

/// What makes them move.
pub(super) fn command(services: &[&str]) -> String {
    format!(
        "docker compose up -d --no-deps --force-recreate {}",
        services.join(" ")
    )
}

/// As they stand in `details.side_cars`.
pub(super) fn to_json(all: &[SideCar]) -> Vec<Value> {
    all.iter()
        .map(|one| json!({"service": one.service, "moved": one.moved}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(service: &str, environment: &[&str]) -> Started {
        Started {
            service: service.to_owned(),
            environment: environment.iter().map(|pair| (*pair).to_owned()).collect(),
        }
    }

    #[test]
    fn a_service_has_moved_when_all_of_its_containers_have() {
        let containers = Containers(vec![
            started("worker", &["KEY=new", "OTHER=old"]),
            started("worker", &["KEY=old"]),
            started("poller", &["KEY=new"]),
            started("page", &["KEY_FILE=/k", "KEY=old"]),
            started("cache", &["KEY=", "KEYS=old"]),
            started(SERVER, &["KEY=old"]),
        ]);
        let found = containers.with("KEY", &Secret::new("new"));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.service.as_str(), one.moved))
            .collect();
        assert_eq!(found, [("worker", false), ("poller", true)]);
    }
}

//! The files of the Compose stack, for any settings: which, with what in them, and in which order Compose lays them over
//! each other.
//!
//! Always true: a function of the settings alone; what is shipped is inside this program, so that its version pins all of it.
//!
//! Does not: see the host.

pub mod startup_script;

use std::borrow::Cow;

use agnes_config::{Overlay, Settings, TlsMode};

/// Where the sites of `DOMAIN_ALIAS` stand.
pub const ALIAS: &str = "caddy/sites/alias.caddy";
/// The file that pins what runs, written by an upgrade.
pub const PIN: &str = "docker-compose.pin.yml";
/// A person's own.
pub const OVERRIDE: &str = "docker-compose.override.yml";

macro_rules! shipped {
    ($name:literal) => {
        File {
            name: $name,
            text: Cow::Borrowed(include_str!(concat!("../../", $name))),
        }
    };
}

/// One file of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the deployment's directory.
    pub name: &'static str,
    /// What is in it.
    pub text: Cow<'static, str>,
}

/// What the settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// What has to be there.
    pub files: Vec<File>,
    /// What must not: it would be read all the same.
    pub absent: Vec<&'static str>,
    /// The compose files, in Compose's order.
    pub compose: Vec<&'static str>,
}

impl Stack {
    /// `COMPOSE_FILE`.
    pub fn compose_file(&self) -> String {
        self.compose.join(":")
    }
}

/// The stack of these settings; `own` are those of [`PIN`] and [`OVERRIDE`] that are there: they come last, for they have the
/// last word.
pub fn compose(settings: &Settings, own: &[&'static str]) -> Stack {
    let tls = settings.stack.tls_mode != TlsMode::None;
    let mut files = vec![shipped!("docker-compose.yml")];
    files.extend(
        settings
            .stack
            .overlays
            .iter()
            .map(|overlay| overlaid(*overlay)),
    );
    if tls {
        // behind whatever opens ports, for it closes one
        files.push(shipped!("docker-compose.tls.yml"));
    }
    let mut compose: Vec<&'static str> = files.iter().map(|file| file.name).collect();
    compose.extend(
        [PIN, OVERRIDE]
            .into_iter()
            .filter(|name| own.contains(name)),
    );
    files.extend([
        shipped!("caddy/Caddyfile"),
        shipped!("caddy/pages/maintenance.html"),
        if tls {
            shipped!("caddy/site/tls.caddy")
        } else {
            shipped!("caddy/site/plain.caddy")
        },
    ]);
    if settings.stack.overlays.contains(&Overlay::Monitoring) {
        files.extend([
            shipped!("monitoring/prometheus/prometheus.yml"),
            shipped!("monitoring/prometheus/rules/agnes.yml"),
            shipped!("monitoring/alertmanager/alertmanager.yml"),
            shipped!("monitoring/grafana/datasources/prometheus.yml"),
            shipped!("monitoring/grafana/dashboards/agnes.yml"),
            shipped!("monitoring/grafana/dashboards/operations.json"),
            shipped!("monitoring/grafana/dashboards/server.json"),
        ]);
    }
    let mut absent = Vec::new();
    match aliases(settings) {
        Some(text) => files.push(File {
            name: ALIAS,
            text: Cow::Owned(text),
        }),
        None => absent.push(ALIAS),
    }
    Stack {
        files,
        absent,
        compose,
    }
}

fn overlaid(overlay: Overlay) -> File {
    match overlay {
        Overlay::Prod => shipped!("docker-compose.prod.yml"),
        Overlay::HostMount => shipped!("docker-compose.host-mount.yml"),
        Overlay::Dev => shipped!("docker-compose.dev.yml"),
        Overlay::Monitoring => shipped!("docker-compose.monitoring.yml"),
    }
}

/// A site for all names of `DOMAIN_ALIAS`, which sends everybody to `DOMAIN`.
fn aliases(settings: &Settings) -> Option<String> {
    let scheme = match settings.stack.tls_mode {
        TlsMode::None => "http",
        TlsMode::Files | TlsMode::Acme | TlsMode::Internal => "https",
    };
    let names: Vec<String> = settings
        .tls
        .aliases
        .iter()
        .map(|alias| format!("{scheme}://{}", alias.as_str()))
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(format!(
        "# DOMAIN_ALIAS, by agnes-ops render compose; edits here are lost.\n{} {{\n\timport site\n\timport to_domain\n}}\n",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests;

//! Every combination of settings, rendered by the built program and shown to real Compose and to both Caddys.

use std::path::Path;
use std::process::Command;

use agnes_e2e::authority::{Authority, Leaf, common_name, ec_key, key_pem, public};
use agnes_e2e::caddy::Version;
use agnes_e2e::components;
use agnes_e2e::deployment::{DOMAIN, Deployment};
use serde_json::Value;
use xtask::command;

const MODES: [(&str, &str); 4] = [
    ("none", ""),
    ("files", ""),
    ("acme", "tls you@example.com"),
    ("internal", "tls internal"),
];
const OVERLAYS: [&str; 12] = [
    "base",
    "prod",
    "host-mount",
    "prod,host-mount",
    "dev",
    "host-mount,dev",
    "monitoring",
    "prod,monitoring",
    "host-mount,monitoring",
    "prod,host-mount,monitoring",
    "dev,monitoring",
    "host-mount,dev,monitoring",
];

/// `docker compose` without an engine: it only reads files.
fn compose(deployment: &Deployment, args: &[&str]) -> Command {
    let mut command = Command::new(xtask::components::directory().join("docker"));
    command
        .arg("compose")
        .args(args)
        .env_clear()
        .env("DOCKER_CONFIG", xtask::components::docker_config())
        .current_dir(deployment.dir());
    command
}

fn rendered(overlays: &str, (mode, directive): (&str, &str), aliases: &str) -> Deployment {
    let mut deployment = Deployment::new()
        .with("AGNES_OVERLAYS", overlays)
        .with("TLS_MODE", mode)
        .with("CADDY_TLS", directive)
        .with("DOMAIN_ALIAS", aliases)
        .with("GRAFANA_ADMIN_PASSWORD", "an-example");
    deployment.set_environment(
        "DOCKER_CONFIG",
        xtask::components::docker_config().display().to_string(),
    );
    deployment
        .ops(&["render", "compose"])
        .exits(0)
        .with_outcome("changed");
    deployment
}

/// What Compose makes of the whole set.
fn config(deployment: &Deployment) -> Value {
    command::capture(&mut compose(deployment, &["config", "--quiet"])).unwrap();
    let json = command::capture(&mut compose(deployment, &["config", "--format", "json"])).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn every_combination_is_accepted_by_compose() {
    if components::require("docker").is_none() || components::require("docker-compose").is_none() {
        return;
    }
    for overlays in OVERLAYS {
        for mode in MODES {
            for aliases in ["", "www.example.com,api.example.com"] {
                let deployment = rendered(overlays, mode, aliases);
                let said = format!("{overlays} {mode:?} {aliases}");
                let config = config(&deployment);
                assert_eq!(config["name"], "agnes", "{said}");
                let app = &config["services"]["app"];
                let caddy = &config["services"]["caddy"];
                // the server's own port is open on loopback, or not at all
                let tls = mode.0 != "none";
                assert_eq!(app["ports"].is_null(), tls, "{said}: {}", app["ports"]);
                if !tls {
                    assert_eq!(app["ports"][0]["host_ip"], "127.0.0.1", "{said}");
                }
                let site = if tls { "tls" } else { "plain" };
                assert_eq!(caddy["environment"]["CADDY_SITE"], site, "{said}");
                assert_eq!(
                    app["mem_limit"].is_null(),
                    !overlays.contains("prod"),
                    "{said}"
                );
                assert_eq!(
                    config["services"]["grafana"].is_null(),
                    !overlays.contains("monitoring"),
                    "{said}"
                );
                let digests = ["caddy", "prometheus", "alertmanager", "grafana"];
                for service in digests.iter().map(|name| &config["services"][name]) {
                    let image = service["image"].as_str().unwrap_or("@sha256:");
                    assert!(image.contains("@sha256:"), "{said}: {image}");
                }
            }
        }
    }
}

#[test]
fn every_site_is_accepted_by_both_caddys() {
    let pair = tempfile::tempdir().unwrap();
    write_pair(pair.path());
    for version in [Version::V2_6, Version::V2_11] {
        let Some(caddy) = components::require(version.component()) else {
            return;
        };
        if components::require("docker-compose").is_none() {
            return;
        }
        for mode in MODES {
            for aliases in ["", "www.example.com,api.example.com"] {
                let deployment = rendered("prod", mode, aliases);
                let config = config(&deployment);
                let environment = config["services"]["caddy"]["environment"]
                    .as_object()
                    .unwrap();
                let home = tempfile::tempdir().unwrap();
                let mut command = Command::new(&caddy);
                command.env_clear().env("HOME", home.path());
                for (key, value) in environment {
                    // where the pair is mounted in the container
                    let certs = format!("{}/", pair.path().display());
                    command.env(key, value.as_str().unwrap().replace("/certs/", &certs));
                }
                for directory in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(directory, home.path());
                }
                let file = deployment.dir().join("caddy/Caddyfile");
                let said = command::says(
                    command
                        .args(["validate", "--adapter", "caddyfile", "--config"])
                        .arg(file),
                )
                .unwrap();
                assert!(
                    said.contains("Valid configuration"),
                    "{version:?} {mode:?} {aliases}: {said}"
                );
            }
        }
    }
}

fn write_pair(dir: &Path) {
    let key = ec_key();
    let authority = Authority::root("Example Root");
    let leaf = authority.sign_key(&public(&key), &common_name(DOMAIN), &Leaf::new(DOMAIN));
    std::fs::write(dir.join("privkey.pem"), key_pem(&key)).unwrap();
    std::fs::write(dir.join("fullchain.pem"), authority.chain(&leaf)).unwrap();
}

//! The default reload ways on a real Compose project: SIGUSR1 to the service `caddy`, then a forced reload inside it.

use std::net::SocketAddr;

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::caddy::Version;
use agnes_e2e::deployment::{DOMAIN, Deployment};
use agnes_e2e::docker::{Docker, Project};
use agnes_e2e::handshake::served_leaf;
use agnes_e2e::ports;

/// A running project whose Caddy serves the bridge; `None` after saying `SKIP`.
fn project(version: Version) -> Option<(Project, Deployment, SocketAddr)> {
    let docker = Docker::get()?;
    let image = docker.caddy_image(version).unwrap()?;
    let address = ports::free_address();
    let compose = format!(
        "services:\n  caddy:\n    image: {image}\n    ports: [\"{address}:443\"]\n    volumes:\n      \
         - ./data/state/certs:/certs:ro\n      - ./caddy:/etc/caddy:ro\n"
    );
    let project = Project::new(docker, &compose).unwrap();
    let site = format!(
        "{{\n\tauto_https off\n}}\nhttps://{DOMAIN} {{\n\ttls /certs/fullchain.pem /certs/privkey.pem\n\trespond \"ok\"\n}}\n"
    );
    project.write("caddy/Caddyfile", site).unwrap();
    let mut deployment = Deployment::at(project.path())
        .polls_itself()
        .with("TLS_SERVED_ADDRESS", address.to_string());
    for (key, value) in docker.environment() {
        deployment.set_environment(key, value);
    }
    // before the proxy runs: its containers are absent, nothing listens, all is well
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("proof"), "nothing-listens");
    project.up().unwrap();
    for _ in 0..100 {
        if served_leaf(address).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Some((project, deployment, address))
}

/// Publishes a chain, rotates, and sees it served after this kind of way.
fn rotated_by(kind: &str, deployment: &Deployment, address: SocketAddr) {
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN));
    deployment.publish(&chain);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("reload.by"), kind, "{}", ran.stdout);
    assert_eq!(served_leaf(address).unwrap(), leaf_sha256(chain.as_bytes()));
}

#[test]
fn the_compose_service_is_signalled_and_serves_the_new_chain() {
    let Some((_project, deployment, address)) = project(Version::V2_11) else {
        return;
    };
    rotated_by("signal", &deployment, address);
    deployment.ops(&["tls", "check"]).exits(0);
}

#[test]
fn t01_a_compose_service_that_ignores_the_signal_is_reloaded_by_force() {
    let Some((_project, deployment, address)) = project(Version::V2_6) else {
        return;
    };
    rotated_by("caddy-admin", &deployment, address);
}

#[test]
fn a_restart_is_the_last_way_and_only_when_configured() {
    let Some((_project, deployment, address)) = project(Version::V2_6) else {
        return;
    };
    let ways = "[[tls.reload]]\nkind = \"signal\"\ncompose_service = \"caddy\"\n\n\
                [[tls.reload]]\nkind = \"restart\"\ncompose_service = \"caddy\"\n";
    rotated_by("restart", &deployment.toml(ways), address);
}

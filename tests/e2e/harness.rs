//! The harness itself: what the other tests stand on is what it says it is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agnes_e2e::authority::{
    Authority, Leaf, Usage, common_name, ec_key, key_pem, pem, public, sha256,
};
use agnes_e2e::caddy::{Admin, Caddy, Site, Version};
use agnes_e2e::deployment::DOMAIN;
use agnes_e2e::docker::{Docker, Project};
use agnes_e2e::handshake::served_leaf;
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn served_becomes(address: SocketAddr, wanted: &str) -> bool {
    (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        served_leaf(address).is_ok_and(|now| now == wanted)
    })
}

/// Writes a fresh pair; the leaf's fingerprint.
fn write_pair(dir: &Path, authority: &Authority) -> Result<String> {
    let key = ec_key();
    let leaf = authority.sign_key(&public(&key), &common_name(DOMAIN), &Leaf::new(DOMAIN));
    std::fs::write(dir.join("privkey.pem"), key_pem(&key))?;
    std::fs::write(dir.join("fullchain.pem"), authority.chain(&leaf))?;
    Ok(sha256(&leaf))
}

#[test]
fn a_daemon_is_captured_and_ends_with_its_handle() -> Result<()> {
    let mut daemon = Daemon::spawn(Command::new("sh").args(["-c", "echo here; sleep 100 & wait"]))?;
    daemon.wait_for("here", Duration::from_secs(5))?;
    let pid = Pid::from_raw(i32::try_from(daemon.pid())?);
    assert!(daemon.is_running()?);
    drop(daemon);
    assert!(kill(pid, None).is_err(), "the process is still there");

    let mut early = Daemon::spawn(Command::new("sh").args(["-c", "echo sorry; exit 3"]))?;
    let error = early
        .wait_listening(ports::free_address(), Duration::from_secs(5))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exit status: 3") && error.contains("sorry"),
        "{error}"
    );
    Ok(())
}

#[test]
fn the_authority_signs_what_openssl_verifies_and_what_it_refuses() -> Result<()> {
    let Some(openssl) = agnes_e2e::components::require("openssl") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let root = Authority::root("Test Root");
    let issuing = root.intermediate("Test Issuing");
    std::fs::write(dir.path().join("root.pem"), root.pem())?;
    std::fs::write(dir.path().join("rest.pem"), issuing.pem())?;
    let verify = |leaf: &Leaf| -> Result<String> {
        let leaf = issuing.sign_key(&public(&ec_key()), &common_name(DOMAIN), leaf);
        std::fs::write(dir.path().join("leaf.pem"), pem(&leaf))?;
        xtask::command::says(
            Command::new(&openssl)
                .args([
                    "verify",
                    "-purpose",
                    "sslserver",
                    "-verify_hostname",
                    DOMAIN,
                ])
                .args(["-CAfile", "root.pem", "-untrusted", "rest.pem", "leaf.pem"])
                .current_dir(dir.path()),
        )
    };
    let good = Leaf::new(DOMAIN);
    assert_eq!(verify(&good)?, "leaf.pem: OK\n");
    let refused = [
        (good.clone().days(-90, -1), "expired"),
        (good.clone().days(1, 90), "not yet valid"),
        (Leaf::new("other.example.com"), "hostname mismatch"),
        (
            Leaf {
                usage: Usage::Client,
                ..good
            },
            "certificate purpose",
        ),
    ];
    for (leaf, why) in refused {
        let said = verify(&leaf)?;
        assert!(said.to_lowercase().contains(why), "{why}: {said}");
    }
    Ok(())
}

/// T01 stands on this difference.
#[test]
fn one_caddy_reloads_on_sigusr1_and_the_other_does_not() -> Result<()> {
    let authority = Authority::root("Test Root");
    for (version, reloads) in [(Version::V2_11, true), (Version::V2_6, false)] {
        let dir = tempfile::tempdir()?;
        let first = write_pair(dir.path(), &authority)?;
        let (fullchain, privkey) = (
            dir.path().join("fullchain.pem"),
            dir.path().join("privkey.pem"),
        );
        let site = Site {
            domain: DOMAIN,
            fullchain: &fullchain,
            privkey: &privkey,
        };
        let Some(caddy) = Caddy::start(version, Admin::On, site)? else {
            return Ok(());
        };
        assert_eq!(served_leaf(caddy.address).unwrap(), first);
        assert_eq!(
            std::fs::read_to_string(caddy.pid_file())?.trim(),
            caddy.daemon.pid().to_string()
        );

        let second = write_pair(dir.path(), &authority)?;
        caddy.daemon.signal(Signal::SIGUSR1)?;
        assert_eq!(
            served_becomes(caddy.address, &second),
            reloads,
            "{version:?}: {}",
            caddy.daemon.output()
        );
        if !reloads {
            assert_eq!(served_leaf(caddy.address).unwrap(), first);
        }
    }
    Ok(())
}

#[test]
fn a_caddy_in_a_compose_project_serves_a_mounted_pair() -> Result<()> {
    let Some(docker) = Docker::get() else {
        return Ok(());
    };
    let Some(image) = docker.caddy_image(Version::V2_11)? else {
        return Ok(());
    };
    let address = ports::free_address();
    let project = Project::new(
        docker,
        &format!(
            "services:\n  caddy:\n    image: {image}\n    ports: [\"{address}:443\"]\n    volumes:\n      \
             - ./certs:/certs:ro\n      - ./caddy:/etc/caddy:ro\n"
        ),
    )?;
    project.write(
        "caddy/Caddyfile",
        format!(
            "{{\n\tadmin off\n\tauto_https off\n}}\nhttps://{DOMAIN} {{\n\ttls /certs/fullchain.pem /certs/privkey.pem\n\trespond \"ok\"\n}}\n"
        ),
    )?;
    std::fs::create_dir(project.path().join("certs"))?;
    let leaf = write_pair(&project.path().join("certs"), &Authority::root("Test Root"))?;
    project.up()?;
    assert!(served_becomes(address, &leaf), "{}", project.logs("caddy")?);
    assert_eq!(project.container("caddy")?.len(), 64);
    Ok(())
}

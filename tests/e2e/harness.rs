//! The harness itself: what the other tests stand on is what it says it is.

use std::process::Command;
use std::time::Duration;

use agnes_e2e::ca::{self, Authority, Key, Leaf};
use agnes_e2e::caddy::{Admin, Caddy, Site, Version};
use agnes_e2e::docker::{Docker, Project};
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

const DOMAIN: &str = "agnes.example.com";

/// Fingerprint of the leaf that is served to a client asking for [`DOMAIN`].
fn served(address: std::net::SocketAddr) -> Result<String> {
    let mut builder = SslConnector::builder(SslMethod::tls())?;
    builder.set_verify(SslVerifyMode::NONE);
    let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let stream = builder.build().connect(DOMAIN, stream)?;
    let leaf = stream
        .ssl()
        .peer_certificate()
        .expect("a server has a certificate");
    ca::fingerprint(&leaf.to_pem()?)
}

fn served_becomes(address: std::net::SocketAddr, wanted: &str) -> bool {
    (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        served(address).is_ok_and(|now| now == wanted)
    })
}

/// Writes a fresh pair; the leaf's fingerprint.
fn write_pair(dir: &std::path::Path, authority: &Authority) -> Result<String> {
    let key = ca::key(Key::Rsa(2048))?;
    let chain = authority.fullchain(&ca::request(&key, DOMAIN)?, &Leaf::default())?;
    std::fs::write(dir.join("privkey.pem"), ca::key_pem(&key)?)?;
    std::fs::write(dir.join("fullchain.pem"), &chain)?;
    ca::fingerprint(&chain)
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
fn the_authority_signs_a_request_that_openssl_verifies() -> Result<()> {
    let Some(openssl) = agnes_e2e::components::require("openssl") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let issuing = Authority::root("Test Root")?.intermediate("Test Issuing")?;
    std::fs::write(dir.path().join("root.pem"), issuing.root_pem()?)?;
    std::fs::write(dir.path().join("rest.pem"), issuing.intermediates_pem()?)?;
    let verify = |leaf: &Leaf, key: Key| -> Result<String> {
        let request = ca::request(&*ca::key(key)?, DOMAIN)?;
        std::fs::write(dir.path().join("leaf.pem"), issuing.sign(&request, leaf)?)?;
        xtask::command::says(
            Command::new(&openssl)
                .args([
                    "verify",
                    "-x509_strict",
                    "-purpose",
                    "sslserver",
                    "-verify_hostname",
                    DOMAIN,
                ])
                .args(["-CAfile", "root.pem", "-untrusted", "rest.pem", "leaf.pem"])
                .current_dir(dir.path()),
        )
    };
    for key in [Key::Rsa(2048), Key::P256, Key::P384] {
        assert_eq!(verify(&Leaf::default(), key)?, "leaf.pem: OK\n", "{key:?}");
    }
    let refused = [
        (Leaf::expired(), "expired"),
        (Leaf::not_yet_valid(), "not yet valid"),
        (Leaf::sans(&["other.example.com"]), "hostname mismatch"),
        (
            Leaf {
                eku: vec!["clientAuth"],
                ..Leaf::default()
            },
            "certificate purpose",
        ),
    ];
    for (leaf, why) in refused {
        let said = verify(&leaf, Key::P256)?;
        assert!(said.to_lowercase().contains(why), "{why}: {said}");
    }
    Ok(())
}

/// T01 stands on this difference.
#[test]
fn one_caddy_reloads_on_sigusr1_and_the_other_does_not() -> Result<()> {
    let authority = Authority::root("Test Root")?;
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
        assert_eq!(served(caddy.address)?, first);
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
            assert_eq!(served(caddy.address)?, first);
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
    let leaf = write_pair(
        &project.path().join("certs"),
        &Authority::root("Test Root")?,
    )?;
    project.up()?;
    assert!(served_becomes(address, &leaf), "{}", project.logs("caddy")?);
    assert_eq!(project.container("caddy")?.len(), 64);
    Ok(())
}

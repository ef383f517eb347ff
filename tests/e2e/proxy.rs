//! T01–T03: real Caddys of two versions, and the proof of what they serve after every reload.

use std::process::Command;
use std::time::Duration;

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::caddy::{Admin, Caddy, Site, Version};
use agnes_e2e::deployment::{DOMAIN, Deployment};
use agnes_e2e::handshake::{post_configuration, served_leaf};

/// A deployment with a bridge, and a Caddy that serves it; `ways` makes `agnes.toml` from the Caddy.
fn behind_caddy(version: Version, ways: impl Fn(&Caddy) -> String) -> Option<(Deployment, Caddy)> {
    let mut deployment = Deployment::polling();
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    let certs = deployment.certs();
    let (fullchain, privkey) = (certs.join("fullchain.pem"), certs.join("privkey.pem"));
    let site = Site {
        domain: DOMAIN,
        fullchain: &fullchain,
        privkey: &privkey,
    };
    let caddy = Caddy::start(version, Admin::On, site).unwrap()?;
    deployment.set("TLS_SERVED_ADDRESS", caddy.address.to_string());
    let toml = ways(&caddy);
    Some((deployment.toml(&toml), caddy))
}

fn signal(caddy: &Caddy) -> String {
    format!(
        "[[tls.reload]]\nkind = \"signal\"\npid_file = \"{}\"\n",
        caddy.pid_file().display()
    )
}

fn admin(caddy: &Caddy) -> &str {
    caddy.admin.as_deref().unwrap()
}

fn signal_then_admin(caddy: &Caddy) -> String {
    format!(
        "{}\n[[tls.reload]]\nkind = \"caddy-admin\"\nurl = \"{}\"\n",
        signal(caddy),
        admin(caddy)
    )
}

fn publish_new(deployment: &Deployment, days: i64) -> String {
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(-1, days));
    deployment.publish(&chain);
    leaf_sha256(chain.as_bytes())
}

#[test]
fn a_new_chain_is_served_by_caddy_after_sigusr1() {
    let Some((deployment, caddy)) = behind_caddy(Version::V2_11, signal_then_admin) else {
        return;
    };
    let expected = publish_new(&deployment, 89);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("proof"), "served");
    assert_eq!(ran.detail("reload.by"), "signal");
    assert_eq!(ran.detail("served.sha256"), expected.as_str());
    assert_eq!(
        ran.detail("served.address"),
        caddy.address.to_string().as_str()
    );
    assert_eq!(served_leaf(caddy.address).unwrap(), expected);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    deployment.ops(&["tls", "check"]).exits(0);
}

#[test]
fn t01_a_caddy_that_ignores_the_signal_is_detected_and_asked_through_its_admin_api() {
    let Some((deployment, caddy)) = behind_caddy(Version::V2_6, signal_then_admin) else {
        return;
    };
    let expected = publish_new(&deployment, 89);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("reload.by"), "caddy-admin");
    assert_eq!(ran.detail("reload.tried")[0]["kind"], "signal");
    assert_eq!(ran.detail("reload.tried")[0]["result"], "unproven");
    assert_eq!(served_leaf(caddy.address).unwrap(), expected);
    // the way that worked goes first the next time
    let expected = publish_new(&deployment, 90);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(
        ran.detail("reload.tried").as_array().unwrap().len(),
        1,
        "{}",
        ran.stdout
    );
    assert_eq!(served_leaf(caddy.address).unwrap(), expected);
}

#[test]
fn t01_with_only_a_signal_that_is_ignored_the_old_pair_is_back_and_proven() {
    let Some((deployment, caddy)) = behind_caddy(Version::V2_6, signal) else {
        return;
    };
    let old = served_leaf(caddy.address).unwrap();
    let before = deployment.certs_snapshot();
    publish_new(&deployment, 89);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(1)
        .with_outcome("rolled-back");
    assert_eq!(ran.detail("cert.sha256"), old.as_str());
    assert_eq!(ran.detail("served.sha256"), old.as_str());
    assert_eq!(served_leaf(caddy.address).unwrap(), old);
    let after = deployment.certs_snapshot();
    let names =
        |snapshot: &agnes_e2e::deployment::Snapshot| snapshot.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for (path, (_, _, bytes)) in &before {
        assert_eq!(&after[path].2, bytes, "{}", path.display());
    }
}

#[test]
fn t01_a_caddy_that_was_configured_through_its_admin_api_ignores_the_signal_and_is_escalated() {
    let Some((deployment, caddy)) = behind_caddy(Version::V2_11, signal_then_admin) else {
        return;
    };
    post_configuration(admin(&caddy));
    let expected = publish_new(&deployment, 89);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("reload.by"), "caddy-admin", "{}", ran.stdout);
    assert_eq!(served_leaf(caddy.address).unwrap(), expected);
}

#[test]
fn t02_a_command_that_exits_0_and_does_nothing_is_no_reload() {
    let way = |_: &Caddy| "[[tls.reload]]\nkind = \"command\"\nargv = [\"true\"]\n".to_owned();
    let Some((deployment, caddy)) = behind_caddy(Version::V2_11, way) else {
        return;
    };
    let old = served_leaf(caddy.address).unwrap();
    publish_new(&deployment, 89);
    deployment
        .ops(&["tls", "rotate"])
        .exits(1)
        .with_outcome("rolled-back");
    assert_eq!(served_leaf(caddy.address).unwrap(), old);
}

#[test]
fn t03_a_reload_that_failed_yesterday_is_made_up_for_today() {
    let Some((mut deployment, caddy)) = behind_caddy(Version::V2_11, signal_then_admin) else {
        return;
    };
    // yesterday: installed without a proof, and nobody was told
    let address = caddy.address;
    deployment.set("TLS_SERVED_ADDRESS", "none");
    let way = std::fs::read_to_string(deployment.dir().join("agnes.toml")).unwrap();
    let nobody = "[[tls.reload]]\nkind = \"signal\"\npid_file = \"/nonexistent.pid\"\n";
    let mut deployment = deployment.toml(nobody);
    let expected = publish_new(&deployment, 89);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_ne!(served_leaf(address).unwrap(), expected);
    // today nothing changes at the source
    deployment.set("TLS_SERVED_ADDRESS", address.to_string());
    let deployment = deployment.toml(&way);
    let check = deployment.ops(&["tls", "check"]).exits(10);
    assert_eq!(check.detail("findings")[0]["id"], "reload-pending");
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("fetch.not_modified"), true);
    assert_eq!(ran.detail("served.sha256"), expected.as_str());
    assert_eq!(served_leaf(address).unwrap(), expected);
}

#[test]
fn all_ways_absent_and_nothing_listening_is_installed_and_all_is_well() {
    let deployment = Deployment::new()
        .toml("[[tls.reload]]\nkind = \"signal\"\npid_file = \"/nonexistent.pid\"\n");
    let port = agnes_e2e::ports::free();
    let deployment = deployment
        .polls_itself()
        .with("TLS_SERVED_ADDRESS", format!("127.0.0.1:{port}"));
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("proof"), "nothing-listens");
    assert_eq!(ran.detail("reload.tried")[0]["result"], "absent");
    assert!(ran.detail("reload.by").is_null());
    assert!(ran.detail("served").is_null());
}

/// What comes of a signal to a process that does not handle it, by a pid file of this age; it must live on.
fn signal_to_a_sleeper(pid_file_age: Duration) -> String {
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let deployment = Deployment::polling();
    let pid_file = deployment.dir().join("sleep.pid");
    std::fs::write(&pid_file, sleeper.id().to_string()).unwrap();
    let written = std::time::SystemTime::now() - pid_file_age;
    let file = std::fs::File::options()
        .write(true)
        .open(&pid_file)
        .unwrap();
    file.set_modified(written).unwrap();
    let way = format!(
        "[[tls.reload]]\nkind = \"signal\"\npid_file = \"{}\"\n",
        pid_file.display()
    );
    let ran = deployment.toml(&way).ops(&["tls", "rotate"]);
    let alive = sleeper.try_wait().unwrap().is_none();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(alive, "it was ended");
    let ran = ran.exits(0);
    ran.detail("reload.tried")[0]["result"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_process_that_would_die_of_the_signal_gets_none() {
    assert_eq!(signal_to_a_sleeper(Duration::ZERO), "failed");
}

#[test]
fn a_pid_file_that_is_older_than_its_process_names_another_program() {
    assert_eq!(signal_to_a_sleeper(Duration::from_secs(3600)), "absent");
}

#[test]
fn t09_a_rotation_killed_after_the_flip_is_undone_when_it_cannot_be_proven() {
    let Some((deployment, caddy)) = behind_caddy(Version::V2_6, signal) else {
        return;
    };
    let old = served_leaf(caddy.address).unwrap();
    publish_new(&deployment, 89);
    // where the flip is, from a run in a copy of the deployment that proves nothing
    let trace = deployment.dir().join("checkpoints");
    let mut command = deployment.command(&["tls", "rotate"]);
    command.env("AGNES_CHECKPOINTS", &trace);
    agnes_e2e::deployment::run(command).exits(1);
    let trace = std::fs::read_to_string(trace).unwrap();
    let flip = trace
        .lines()
        .find(|line| line.contains("after linking") && line.ends_with("certs/current"));
    let number = flip.unwrap().split(' ').next().unwrap().to_owned();
    let mut command = deployment.command(&["tls", "rotate"]);
    command.env("AGNES_STOP_AT", number);
    assert_eq!(agnes_e2e::deployment::run(command).code, 137);
    let check = deployment.ops(&["tls", "check"]).exits(10);
    assert!(check.stdout.contains("interrupted"), "{}", check.stdout);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(1)
        .with_outcome("rolled-back");
    assert_eq!(ran.detail("cert.sha256"), old.as_str());
    assert_eq!(served_leaf(caddy.address).unwrap(), old);
}

#[test]
fn when_the_way_back_is_not_served_either_a_person_is_needed() {
    // somebody else's server stands where the certificate should be served
    let web = agnes_e2e::https_source::Ca::new("Example Web CA");
    let stranger = agnes_e2e::https_source::HttpsSource::start(
        &web.server(&[DOMAIN], agnes_e2e::https_source::CURRENT),
    );
    let deployment =
        Deployment::new().toml("[[tls.reload]]\nkind = \"command\"\nargv = [\"true\"]\n");
    let mut deployment = deployment.polls_itself();
    let bridge = deployment.ops(&["tls", "rotate"]).exits(0);
    deployment.set("TLS_SERVED_ADDRESS", stranger.address().to_string());
    publish_new(&deployment, 89);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(100)
        .with_outcome("degraded");
    assert_eq!(ran.detail("proof"), "failed");
    assert_eq!(ran.detail("cert.sha256"), bridge.detail("cert.sha256"));
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
}

#[test]
fn t17_no_core_dump_can_hold_the_key() {
    let deployment = Deployment::new();
    let limits = deployment.dir().join("limits");
    let script = format!("cat /proc/$PPID/limits > {}", limits.display());
    let way =
        format!("[[tls.reload]]\nkind = \"command\"\nargv = [\"sh\", \"-c\", \"{script}\"]\n");
    let deployment = deployment
        .toml(&way)
        .with("TLS_FULLCHAIN_URL", "file:///nonexistent");
    deployment.ops(&["tls", "rotate"]).exits(0);
    let limits = std::fs::read_to_string(limits).unwrap();
    let core: Vec<&str> = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(core[4..6], ["0", "0"], "{core:?}");
}

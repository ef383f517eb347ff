//! `agnes-ops render compose` as an operator runs it.

use std::os::unix::fs::PermissionsExt as _;

use agnes_e2e::deployment::{Deployment, snapshot};

fn render(deployment: &Deployment, more: &[&str]) -> agnes_e2e::deployment::Ran {
    deployment.ops(&[&["render", "compose"], more].concat())
}

#[test]
fn a_second_run_and_a_dry_run_write_nothing() {
    let deployment = Deployment::new();
    let before = snapshot(deployment.dir());
    let planned = render(&deployment, &["--dry-run"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(planned.json["steps"][0]["result"], "planned");
    assert!(
        planned.stdout.contains("write docker-compose.yml"),
        "{}",
        planned.stdout
    );
    assert_eq!(snapshot(deployment.dir()), before);

    render(&deployment, &[]).exits(0).with_outcome("changed");
    let files = |deployment: &Deployment| {
        let mut all = snapshot(deployment.dir());
        // a record is written by every run
        all.retain(|path, _| {
            !path.components().any(|part| part.as_os_str() == "ops") && !path.ends_with(".lock")
        });
        all
    };
    let written = files(&deployment);
    let again = render(&deployment, &[]).exits(0).with_outcome("unchanged");
    assert_eq!(again.json["steps"].as_array().unwrap().len(), 0);
    assert!(
        files(&deployment) == written,
        "an unchanged run wrote something"
    );
    let env = std::fs::read_to_string(deployment.dir().join(".env")).unwrap();
    assert!(
        env.contains("COMPOSE_FILE=docker-compose.yml:docker-compose.prod.yml:docker-compose.host-mount.yml\n"),
        "{env}"
    );
}

#[test]
fn what_a_person_wrote_is_never_written_over() {
    let deployment = Deployment::new();
    let file = deployment.dir().join("docker-compose.yml");
    std::fs::write(&file, "services: {app: {image: mine}}\n").unwrap();
    let refused = render(&deployment, &[]).exits(1);
    assert_eq!(refused.detail("reason"), "changed-by-hand");
    assert_eq!(
        refused.detail("files"),
        &serde_json::json!(["docker-compose.yml"])
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "services: {app: {image: mine}}\n"
    );
    assert!(
        !deployment.dir().join("caddy").exists(),
        "something was written all the same"
    );

    // moved away it is made; edited afterwards it stays as it is, and what is known is not forgotten
    std::fs::remove_file(&file).unwrap();
    render(&deployment, &[]).exits(0);
    let ours = std::fs::read(&file).unwrap();
    std::fs::write(&file, "services: {app: {image: mine}}\n").unwrap();
    render(&deployment, &[]).exits(1);
    std::fs::write(&file, ours).unwrap();
    let own = deployment.dir().join("docker-compose.override.yml");
    std::fs::write(&own, "services: {app: {mem_limit: 1g}}\n").unwrap();
    let ran = render(&deployment, &[]).exits(0).with_outcome("changed");
    assert!(
        ran.detail("compose_file")
            .as_str()
            .unwrap()
            .ends_with(":docker-compose.override.yml")
    );
    assert_eq!(
        std::fs::read_to_string(&own).unwrap(),
        "services: {app: {mem_limit: 1g}}\n"
    );
}

#[test]
fn u11_a_set_that_compose_refuses_replaces_nothing() {
    if agnes_e2e::components::require("docker-compose").is_none() {
        return;
    }
    let mut deployment = Deployment::new();
    for (key, value) in [
        (
            "DOCKER_CONFIG",
            xtask::components::docker_config().display().to_string(),
        ),
        (
            "PATH",
            format!("{}:/usr/bin:/bin", xtask::components::directory().display()),
        ),
    ] {
        deployment.set_environment(key, value);
    }
    let own = deployment.dir().join("docker-compose.override.yml");
    std::fs::write(&own, "services: {app: {no_such_key: 1}}\n").unwrap();
    let refused = render(&deployment, &[]).exits(1);
    assert_eq!(refused.detail("reason"), "compose-refuses");
    assert!(refused.stderr.contains("no_such_key"), "{}", refused.stderr);
    assert!(!deployment.dir().join("docker-compose.yml").exists());
    assert!(!deployment.dir().join(".staged").exists());
    std::fs::remove_file(own).unwrap();
    let ran = render(&deployment, &[]).exits(0);
    assert_eq!(ran.detail("compose_says"), "accepted");
}

#[test]
fn the_set_follows_the_settings_in_both_directions() {
    let mut deployment = Deployment::new();
    deployment.set("DOMAIN_ALIAS", "www.example.com");
    deployment.set("TLS_MODE", "files");
    let deployment = deployment.toml("[limits]\nauthenticated_per_min = 60\n");
    render(&deployment, &[]).exits(0);
    let alias = deployment.dir().join("caddy/sites/alias.caddy");
    assert!(
        std::fs::read_to_string(&alias)
            .unwrap()
            .contains("https://www.example.com {")
    );
    // what the server reads of agnes.toml, for its own user alone
    let copy = deployment.dir().join("config/agnes.toml");
    assert_eq!(
        std::fs::read_to_string(&copy).unwrap(),
        "[limits]\nauthenticated_per_min = 60\n"
    );
    assert_eq!(
        std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o400
    );

    let mut deployment = deployment;
    deployment.set("DOMAIN_ALIAS", "");
    std::fs::remove_file(deployment.dir().join("agnes.toml")).unwrap();
    let ran = render(&deployment, &[]).exits(0).with_outcome("changed");
    assert!(
        ran.stdout.contains("remove caddy/sites/alias.caddy"),
        "{}",
        ran.stdout
    );
    assert!(!alias.exists() && !copy.exists());
}

#[test]
fn settings_that_compose_would_not_see_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::at(directory.path()).toml("trusted_proxies_typo = 1\n");
    render(&deployment, &[]).exits(78);
    let deployment = deployment.toml("[server]\ntrusted_proxies = [\"192.0.2.1\"]\n");
    let refused = render(&deployment, &[]).exits(78);
    assert_eq!(refused.detail("reason"), "not-in-env");
    assert!(
        refused.stderr.contains("TRUSTED_PROXIES (agnes.toml:2)"),
        "{}",
        refused.stderr
    );
    let mut deployment = deployment.toml("");
    deployment.set("STATE_DIR", "elsewhere");
    let refused = render(&deployment, &[]).exits(78);
    assert_eq!(refused.detail("reason"), "state-dir-elsewhere");
    deployment.set("AGNES_RUNTIME", "process");
    let refused = render(&deployment, &[]).exits(78);
    assert_eq!(refused.detail("reason"), "runtime-process");
}

//! Files that a person changed and services that are missing: found by a tick, validated, applied, proven.

use std::path::PathBuf;

use agnes_e2e::docker::Docker;
use serde_json::{Value, json};
use xtask::command;

use super::upgrade::Host;

impl Host {
    fn file(&self, name: &str) -> PathBuf {
        self.stack.deployment.dir().join(name)
    }

    fn write_file(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What the proxy says for a site of the operator's own.
    fn own_site(&self) -> String {
        let url = format!("http://{}/", self.stack.http);
        let answer = self.stack.ask(&url, &[("Host", "own.example.com")]);
        answer.unwrap().text
    }

    fn container(&self, service: &str) -> String {
        self.stack.project.container(service).unwrap()
    }

    /// `check` finds exactly this, and changes nothing.
    #[track_caller]
    fn drifts(&self, wanted: &[(&str, &str)]) {
        let wanted: Vec<Value> = wanted
            .iter()
            .map(|(what, kind)| json!({"what": what, "kind": kind}))
            .collect();
        let code = if wanted.is_empty() { 0 } else { 10 };
        let ran = self.upgrade(&["check"]).exits(code);
        assert_eq!(ran.detail("drift"), &json!(wanted));
    }
}

fn remove(docker: &Docker, container: &str) {
    command::capture(&mut docker.command(["rm", "--force", container])).unwrap();
}

#[test]
fn u12_a_changed_file_and_a_missing_service_are_applied_and_proven_and_what_is_refused_touches_nothing()
 {
    let Some(host) = Host::up("") else { return };
    let adopted = host.upgrade(&[]).exits(0).with_outcome("unchanged");
    assert_eq!(adopted.detail("adopted"), true);
    host.drifts(&[]);
    let app = host.container("app");

    // the proxy's files, which are mounted
    const SITE: &str = "caddy/sites/own.override.caddy";
    let site = |says: &str| format!("http://own.example.com {{\n\trespond \"{says}\"\n}}\n");
    host.write_file(SITE, &site("first"));
    host.drifts(&[(SITE, "file-added")]);
    let planned = host.upgrade(&["--dry-run"]).exits(0);
    assert_eq!(planned.json["outcome"], "unchanged");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(host.own_site(), "first");
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    host.write_file(SITE, "http://own.example.com {\n\tno_such_directive\n}\n");
    for _ in 0..2 {
        let ran = host.upgrade(&[]).exits(1);
        assert_eq!(ran.json["outcome"], "unchanged");
        assert_eq!(ran.detail("reason"), "proxy-refuses");
        assert_eq!(host.own_site(), "first");
    }
    host.write_file(SITE, &site("second"));
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(host.own_site(), "second");
    assert_eq!(host.container("app"), app, "the server was not concerned");

    // a service that is not there
    remove(host.stack.docker, &host.container("caddy"));
    host.drifts(&[("caddy", "service-absent")]);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.stack.answers(200);
    assert_eq!(host.container("app"), app);

    // what Compose refuses
    const OWN: &str = "docker-compose.override.yml";
    host.write_file(OWN, "services:\n  app:\n    no_such_key: 1\n");
    host.drifts(&[(OWN, "file-added")]);
    let ran = host.upgrade(&[]).exits(1);
    assert_eq!(ran.detail("reason"), "compose-refuses", "{}", ran.stdout);
    assert_eq!(host.container("app"), app);
    host.write_file(OWN, "services:\n  app:\n    labels: {own: \"1\"}\n");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_ne!(host.container("app"), app);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    host.runs_first();
}

#[test]
fn u12_settings_that_the_server_reads_once_are_drift_and_a_rotated_secret_is_not() {
    let Some(host) = Host::up("") else { return };
    host.upgrade(&[]).exits(0);
    let app = host.container("app");
    // the server reads it again by itself
    host.stack
        .deployment
        .ops(&["secrets", "rotate", "jwt"])
        .exits(0);
    host.drifts(&[]);
    let toml = std::fs::read_to_string(host.file("agnes.toml")).unwrap();
    host.write_file("agnes.toml", &format!("{toml}\n[audit]\nkeep_days = 400\n"));
    host.drifts(&[("agnes.toml", "file-changed")]);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let after = host.container("app");
    assert_ne!(after, app, "the server has not read it");
    let mounted = std::fs::read_to_string(host.file("config/agnes.toml")).unwrap();
    assert!(mounted.contains("keep_days = 400"), "{mounted}");
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    // a value of .env that Compose puts into its files
    let env = std::fs::read_to_string(host.file(".env")).unwrap();
    std::fs::write(host.file(".env"), format!("{env}LOG_LEVEL=warn\n")).unwrap();
    host.drifts(&[(".env", "file-changed")]);
    // a hold is a hold
    host.upgrade(&["hold", "--why", "month end"]).exits(0);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    assert_eq!(host.container("app"), after);
    host.upgrade(&["unhold"]).exits(0);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_ne!(host.container("app"), after);
    host.drifts(&[]);
    host.runs_first();
}

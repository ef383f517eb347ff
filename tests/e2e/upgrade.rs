//! `agnes-ops upgrade check | hold | unhold` against a real engine and a real registry.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use agnes_e2e::deployment::Deployment;
use agnes_e2e::docker::{BASE_IMAGE, Docker, Project};
use agnes_e2e::registry::{Access, PASSWORD, Registry, USER};
use xtask::command;

/// A stack of one service that follows a tag.
struct Host {
    docker: &'static Docker,
    registry: Registry,
    project: Project,
    deployment: Deployment,
    /// Repository, with its registry.
    repository: String,
    /// A Docker configuration with the password, where the registry wants one.
    logged_in: tempfile::TempDir,
}

impl Host {
    /// Runs version 1 of `stable`; `None` after saying `SKIP`.
    fn new(access: Access) -> Option<Self> {
        let docker = Docker::get()?;
        let registry = Registry::start(access)?;
        if !docker.base_image().unwrap() {
            return None;
        }
        let repository = format!("{}/team/example", registry.host());
        let logged_in = tempfile::tempdir().unwrap();
        let config = serde_json::json!({"auths": {registry.host(): {"auth":
            openssl::base64::encode_block(format!("{USER}:{PASSWORD}").as_bytes())}}});
        std::fs::write(logged_in.path().join("config.json"), config.to_string()).unwrap();
        let compose = format!(
            "services:\n  app:\n    image: {repository}:stable\n    command: [/bin/busybox, sleep, \"3600\"]\n    init: true\n    network_mode: none\n"
        );
        let project = Project::new(docker, &compose).unwrap();
        let mut deployment = Deployment::at(project.path());
        for (key, value) in docker.environment() {
            deployment.set_environment(key, value);
        }
        deployment.set_environment("DOCKER_CONFIG", logged_in.path().to_str().unwrap());
        let host = Self {
            docker,
            registry,
            project,
            deployment,
            repository,
            logged_in,
        };
        host.publish("1", "stable");
        host.project.up().unwrap();
        Some(host)
    }

    /// Pushes a version under a tag; its digest.
    fn publish(&self, version: &str, tag: &str) -> String {
        let name = format!("{}:{tag}", self.repository);
        self.docker
            .derived_image(BASE_IMAGE, &name, &format!("LABEL version={version}"))
            .unwrap();
        let mut push = self.docker.command(["push", "--quiet", &name]);
        push.env("DOCKER_CONFIG", self.logged_in.path());
        command::capture(&mut push).unwrap();
        let inspect = [
            "image",
            "inspect",
            "--format",
            "{{json .RepoDigests}}",
            &name,
        ];
        let listed = command::capture(&mut self.docker.command(inspect)).unwrap();
        let listed: Vec<String> = serde_json::from_str(&listed).unwrap();
        let of_it = format!("{}@", self.repository);
        let found = listed.iter().find_map(|one| one.strip_prefix(&of_it));
        found.unwrap().to_owned()
    }

    fn helper(&self, script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-example");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helpers = serde_json::json!({"credHelpers": {self.registry.host(): "example"}});
        std::fs::write(dir.path().join("config.json"), helpers.to_string()).unwrap();
        dir
    }
}

/// A deployment that finds this program first.
fn with_program(deployment: &mut Deployment, dir: &Path) {
    let path = std::env::var("PATH").unwrap();
    deployment.set_environment("PATH", format!("{}:{path}", dir.display()));
    deployment.set_environment("DOCKER_CONFIG", dir.to_str().unwrap());
}

#[test]
fn u02_a_tag_that_moved_is_found_whenever_it_is_looked_at() {
    let Some(mut host) = Host::new(Access::Open) else {
        return;
    };
    let same = host.deployment.ops(&["upgrade", "check"]).exits(0);
    let first = same.detail("from.digest").clone();
    assert_eq!(same.detail("to.digest"), &first);
    assert_eq!(same.detail("to.tag"), "stable");
    // pulled by somebody, and not started: the tag here has moved, what runs has not
    let second = host.publish("2", "stable");
    for _ in 0..2 {
        let moved = host.deployment.ops(&["upgrade", "check"]).exits(10);
        assert_eq!(moved.detail("from.digest"), &first);
        assert_eq!(moved.detail("to.digest"), second.as_str());
        assert_eq!(moved.json["outcome"], "unchanged");
    }
    // u15: what is written in the settings counts, also a digest
    let third = host.publish("3", "next");
    host.deployment.set("AGNES_IMAGE", host.repository.clone());
    host.deployment.set("AGNES_TAG", "next");
    let next = host.deployment.ops(&["upgrade", "check"]).exits(10);
    assert_eq!(next.detail("to.digest"), third.as_str());
    let pinned = format!("[upgrade]\ndigest = {first}\n");
    std::fs::write(host.deployment.dir().join("agnes.toml"), pinned).unwrap();
    host.deployment.ops(&["upgrade", "check"]).exits(0);
    let off = "[upgrade]\nmode = \"off\"\n";
    std::fs::write(host.deployment.dir().join("agnes.toml"), off).unwrap();
    host.deployment.ops(&["upgrade", "check"]).exits(0);
}

#[test]
fn what_keeps_an_upgrade_waiting_is_said() {
    let Some(host) = Host::new(Access::Open) else {
        return;
    };
    let ops = |verb: &[&str]| host.deployment.ops(verb);
    host.publish("2", "stable");
    ops(&["upgrade", "unhold"])
        .exits(0)
        .with_outcome("unchanged");
    let held = ops(&["upgrade", "hold", "--why", "month end"]).exits(0);
    assert_eq!(held.json["outcome"], "changed");
    let found = ops(&["upgrade", "check"]).exits(10);
    assert_eq!(found.detail("reason"), "on-hold");
    assert_eq!(found.detail("hold.why"), "month end");
    ops(&["upgrade", "unhold"]).exits(0).with_outcome("changed");
    // one whose time is over holds nothing
    ops(&[
        "upgrade",
        "hold",
        "--why",
        "over",
        "--until",
        "2020-01-01T00:00:00Z",
    ])
    .exits(0);
    let found = ops(&["upgrade", "check"]).exits(10);
    assert_eq!(found.detail("hold"), &serde_json::Value::Null);
    ops(&["upgrade", "hold", "--why", "x", "--until", "tomorrow"]).exits(2);
    // one that nobody understands is not taken for none
    let file = host.deployment.state().join("ops/upgrade-hold.json");
    std::fs::write(&file, "{").unwrap();
    let ran = ops(&["upgrade", "check"]).exits(1);
    assert!(ran.stderr.contains("upgrade-hold.json"), "{}", ran.stderr);
    ops(&["upgrade", "unhold"]).exits(0);

    command::capture(&mut host.project.compose(["stop", "app"])).unwrap();
    let found = ops(&["upgrade", "check"]).exits(10);
    assert_eq!(found.detail("reason"), "app-stopped");
    assert_eq!(found.detail("stopped")[0]["service"], "app");
    command::capture(&mut host.project.compose(["rm", "--force", "app"])).unwrap();
    let found = ops(&["upgrade", "check"]).exits(1);
    assert_eq!(found.detail("reason"), "app-absent");
}

#[test]
fn u04_a_registry_that_refuses_is_a_failure_with_its_reason() {
    let Some(mut host) = Host::new(Access::Password) else {
        return;
    };
    host.deployment.ops(&["upgrade", "check"]).exits(0);
    let nobody = tempfile::tempdir().unwrap();
    host.deployment
        .set_environment("DOCKER_CONFIG", nobody.path().to_str().unwrap());
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert_eq!(refused.detail("reason"), "forbidden");
    assert!(
        refused.stderr.contains("docker login"),
        "{}",
        refused.stderr
    );
    std::fs::write(nobody.path().join("config.json"), "{\"auths\": 7}").unwrap();
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert_eq!(refused.detail("reason"), "forbidden");
    assert!(refused.stderr.contains("config.json"), "{}", refused.stderr);

    let said = format!(
        "#!/bin/sh\nread -r host\n[ \"$1 $host\" = \"get {}\" ] || exit 3\necho '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n",
        host.registry.host()
    );
    let helper = host.helper(&said);
    with_program(&mut host.deployment, helper.path());
    host.deployment.ops(&["upgrade", "check"]).exits(0);
    let failing = host.helper("#!/bin/sh\necho no >&2\nexit 1\n");
    with_program(&mut host.deployment, failing.path());
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert!(
        refused.stderr.contains("docker-credential-example"),
        "{}",
        refused.stderr
    );

    // a tag that is not there, and a registry that is gone
    host.deployment
        .set_environment("DOCKER_CONFIG", host.logged_in.path().to_str().unwrap());
    host.deployment.set("AGNES_IMAGE", host.repository.clone());
    host.deployment.set("AGNES_TAG", "nothing");
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert_eq!(refused.detail("reason"), "not-published");
    let gone = format!("{}/team/example", agnes_e2e::ports::free_address());
    host.deployment.set("AGNES_IMAGE", gone);
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert_eq!(refused.detail("reason"), "transient");
    host.deployment
        .set_environment("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let refused = host.deployment.ops(&["upgrade", "check"]).exits(1);
    assert!(
        refused.stderr.contains("Docker engine"),
        "{}",
        refused.stderr
    );
}

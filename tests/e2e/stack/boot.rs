//! `boot` from a blank disk and an empty engine to an answer on https, and what it does when it is run again.

use agnes_e2e::caddy::Version;
use agnes_e2e::deployment::Ran;
use agnes_e2e::disk::Disk;
use agnes_e2e::docker::Docker;
use agnes_e2e::registry::{Access, Registry};
use serde_json::{Value, json};
use xtask::command;

use super::upgrade::{entrypoint, push};
use super::{Stack, until};

const MIB: u64 = 512;

/// A machine as a cloud hands it over.
struct Blank {
    stack: Stack,
    /// Serves the image for as long as the machine is there.
    _registry: Registry,
    name: String,
    disk: Disk,
}

impl Blank {
    /// `None` after saying `SKIP`.
    fn new(lines: &str) -> Option<Self> {
        agnes_e2e::components::require("mkfs.xfs")?;
        let docker = Docker::get()?;
        let project = docker.project_image().unwrap()?;
        let registry = Registry::start(Access::Open)?;
        let name = format!("{}/team/agnes:stable", registry.host());
        push(docker, project, &name, lines);
        let stack = Stack::described(docker, Version::V2_11, &name, &[("TLS_MODE", "files")])?;
        let blank = Self {
            stack,
            _registry: registry,
            name,
            disk: Disk::blank(MIB).unwrap(),
        };
        blank.configure(&blank.document("a.example.com"));
        Some(blank)
    }

    fn document(&self, alias: &str) -> Value {
        json!({
            "version": 1,
            "env": {"DOMAIN_ALIAS": alias, "SEED_ADMIN_EMAIL": "admin@example.com"},
            "settings": {
                "host": {"data_device": self.disk.device(), "format_blank": true},
                "upgrade": {
                    "window": null,
                    "min_interval": "0s",
                    "gate": {"stable_for": "2s", "timeout": "20s"},
                },
            },
        })
    }

    fn configure(&self, document: &Value) {
        let path = self.stack.deployment.dir().join("boot.json");
        std::fs::write(path, document.to_string()).unwrap();
    }

    fn boot(&self) -> Ran {
        let dir = self.stack.deployment.dir();
        let config = dir.join("boot.json").display().to_string();
        let root = dir.display().to_string();
        let verb = ["boot", "--root", &root, "--config", &config];
        self.stack.deployment.ops(&verb)
    }

    fn containers(&self) -> Vec<String> {
        ["app", "caddy"]
            .map(|service| self.stack.project.container(service).unwrap())
            .to_vec()
    }
}

impl Drop for Blank {
    fn drop(&mut self) {
        // nothing may hold the disk when it goes
        let _ = self.stack.project.down();
        self.disk.unmount();
    }
}

fn said<'a>(ran: &'a Ran, step: &str) -> &'a str {
    ran.json["details"]["said"][step].as_str().unwrap()
}

#[test]
fn b06_a_blank_machine_answers_on_https_and_three_boots_change_it_once() {
    let Some(blank) = Blank::new("LABEL version=1") else {
        return;
    };
    let planned = blank.stack.deployment.ops(&[
        "boot",
        "--dry-run",
        "--config",
        &blank
            .stack
            .deployment
            .dir()
            .join("boot.json")
            .display()
            .to_string(),
    ]);
    planned.exits(0).with_outcome("unchanged");
    assert!(!blank.stack.deployment.dir().join("agnes.toml").exists());

    let first = blank.boot().exits(0).with_outcome("changed");
    assert_eq!(
        first.json["details"]["published"],
        "nowhere: this is no Google machine"
    );
    assert!(said(&first, "admin").contains("admin@example.com"));
    blank.stack.answers(200);
    let containers = blank.containers();
    let files = |name: &str| {
        let path = blank.stack.deployment.dir().join(name);
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        (std::fs::read(path).unwrap(), written)
    };
    let names = [".env", "agnes.toml", "docker-compose.pin.yml", ".host.json"];
    let before = names.map(files);
    for _ in 0..2 {
        let again = blank.boot().exits(0).with_outcome("unchanged");
        let results: Vec<&str> = again.json["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["result"].as_str().unwrap())
            .collect();
        assert!(!results.contains(&"done"), "{}", again.stdout);
    }
    assert_eq!(blank.containers(), containers);
    assert_eq!(names.map(files), before);
    // the ticks go on from there
    let tick = blank.stack.deployment.ops(&["upgrade"]).exits(0);
    tick.with_outcome("unchanged");
    let second = push(
        blank.stack.docker,
        "agnes-test/agnes:test",
        &blank.name,
        "LABEL version=2",
    );
    let tick = blank.stack.deployment.ops(&["upgrade"]).exits(0);
    assert_eq!(tick.detail("to.digest"), second.as_str());
    blank.boot().exits(0).with_outcome("unchanged");

    // what the machine is given later reaches it, and what a person has changed stays
    blank.configure(&blank.document("b.example.com"));
    let changed = blank.boot().exits(0).with_outcome("changed");
    assert!(said(&changed, "configuration").contains("DOMAIN_ALIAS"));
    let env = std::fs::read_to_string(blank.stack.deployment.dir().join(".env")).unwrap();
    assert!(env.contains("b.example.com"), "{env}");
}

#[test]
fn b06_a_boot_that_fails_leaves_what_came_before_it_and_the_next_one_finishes() {
    let Some(blank) = Blank::new(&entrypoint("exit 3")) else {
        return;
    };
    // the image is bad
    let failed = blank.boot().exits(1);
    assert_eq!(failed.detail("failed_step"), "start", "{}", failed.stdout);
    assert_eq!(failed.detail("reason"), "gate-failed");
    let units = blank
        .stack
        .deployment
        .dir()
        .join("etc/systemd/system/agnes-upgrade.timer");
    assert!(units.is_file(), "safety tooling comes first");
    blank.stack.deployment.ops(&["secrets", "check"]);
    assert!(
        blank
            .stack
            .deployment
            .state()
            .join("certs/fullchain.pem")
            .exists()
    );
    // a good one is published, and what crashes is nobody's to keep
    let good = push(
        blank.stack.docker,
        "agnes-test/agnes:test",
        &blank.name,
        "LABEL version=3",
    );
    command::capture(&mut blank.stack.docker.command([
        "rm",
        "--force",
        &blank.stack.project.container("app").unwrap(),
    ]))
    .unwrap();
    blank.boot().exits(0).with_outcome("changed");
    blank.stack.answers(200);
    let pin = std::fs::read_to_string(blank.stack.deployment.dir().join("docker-compose.pin.yml"))
        .unwrap();
    assert!(pin.contains(&good), "{pin}");
}

#[test]
fn b02_a_service_that_was_started_without_its_disk_is_found() {
    let Some(blank) = Blank::new("LABEL version=1") else {
        return;
    };
    blank.boot().exits(0);
    let app = blank.stack.project.container("app").unwrap();
    let docker = |argv: &[&str]| {
        command::capture(&mut blank.stack.docker.command(argv.iter().copied())).unwrap()
    };
    let caddy = blank.stack.project.container("caddy").unwrap();
    docker(&["stop", &app, &caddy]);
    blank.disk.unmount();
    // the directory on the boot disk, in which a server starts empty
    let data = blank.stack.project.path().join("data");
    std::os::unix::fs::chown(&data, Some(999), Some(999)).unwrap();
    std::fs::create_dir(data.join("state")).unwrap();
    std::os::unix::fs::chown(data.join("state"), Some(999), Some(999)).unwrap();
    std::fs::create_dir_all(data.join("state/secrets/live")).unwrap();
    let refused = blank.boot().exits(1);
    assert_eq!(
        refused.detail("reason"),
        "mount-point-not-empty",
        "{}",
        refused.stdout
    );
    // nothing of ours writes there meanwhile
    for verb in [
        &["upgrade"][..],
        &["snapshot", "create"],
        &["secrets", "ensure"],
        &["tls", "rotate"],
    ] {
        let refused = blank.stack.deployment.ops(verb).exits(1);
        assert_eq!(refused.detail("reason"), "state-disk", "{verb:?}");
    }
    std::fs::remove_dir_all(data.join("state")).unwrap();

    // a container that came up in between sees the boot disk, also after the mount
    blank.boot().exits(0);
    let disk = blank.disk.device();
    docker(&["stop", &app, &caddy]);
    blank.disk.unmount();
    let live = "state/secrets/live";
    let secrets = blank.disk.inside(|at| {
        let names = std::fs::read_dir(at.join(live)).unwrap();
        let files = names.map(|entry| entry.unwrap().path());
        files
            .map(|path| {
                (
                    path.file_name().unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                )
            })
            .collect::<Vec<_>>()
    });
    std::fs::create_dir_all(data.join(live)).unwrap();
    for (name, secret) in secrets.unwrap() {
        let path = data.join(live).join(name);
        std::fs::write(&path, secret).unwrap();
        std::os::unix::fs::chown(&path, Some(999), Some(999)).unwrap();
    }
    std::os::unix::fs::chown(data.join("state"), Some(999), Some(999)).unwrap();
    docker(&["start", &app]);
    until("it serves what is not there", || {
        data.join("run/agnesd.sock").exists()
    });
    let mounted = std::process::Command::new("mount")
        .arg(disk)
        .arg(&data)
        .status()
        .unwrap();
    assert!(mounted.success());
    let refused = blank.boot().exits(1);
    assert_eq!(
        refused.detail("reason"),
        "disk-not-in-container",
        "{}",
        refused.stdout
    );
    docker(&["rm", "--force", &app, &caddy]);
    blank.boot().exits(0);
    blank.stack.answers(200);
}

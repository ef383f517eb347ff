//! `agnes-ops upgrade` on the shipped stack: a real engine, a real registry, images of the project's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agnes_e2e::caddy::Version;
use agnes_e2e::deployment::Ran;
use agnes_e2e::docker::Docker;
use agnes_e2e::registry::{Access, Registry};
use serde_json::{Value, json};
use xtask::command;

mod bench;
mod churn;
mod engine;
mod matrix;
mod migration;
mod plan;
mod sick;

use super::Stack;

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// A stack that follows the tag `stable` of a registry of its own.
pub(super) struct Host {
    pub(super) stack: Stack,
    registry: Registry,
    repository: String,
    /// The digest that it was started with.
    pub(super) first: String,
}

/// An entrypoint of its own, which does `serve` for everything but `db`.
pub(super) fn entrypoint(serve: &str) -> String {
    let script = format!("case $1 in db) exec /usr/lib/agnes/agnesd \"$@\";; *) {serve};; esac");
    let entrypoint = json!(["/bin/busybox", "sh", "-c", script, "sh"]);
    format!("ENTRYPOINT {entrypoint}\nCMD [\"serve\"]")
}

/// Images of one host are no other's, for tests share the engine.
fn push(docker: &Docker, from: &str, name: &str, lines: &str) -> String {
    push_with(docker, from, name, lines, &[])
}

fn push_with(
    docker: &Docker,
    from: &str,
    name: &str,
    lines: &str,
    programs: &[(&str, &str)],
) -> String {
    let host = name.split('/').next().unwrap();
    let lines = format!("LABEL host={host}\n{lines}");
    docker
        .derived_image_with(from, name, &lines, programs)
        .unwrap();
    command::capture(&mut docker.command(["push", "--quiet", name])).unwrap();
    let inspect = [
        "image",
        "inspect",
        "--format",
        "{{json .RepoDigests}}",
        name,
    ];
    let listed = command::capture(&mut docker.command(inspect)).unwrap();
    let listed: Vec<String> = serde_json::from_str(&listed).unwrap();
    let repository = name.rsplit_once(':').unwrap().0;
    let of_it = format!("{repository}@");
    let found = listed.iter().find_map(|one| one.strip_prefix(&of_it));
    found.unwrap().to_owned()
}

impl Host {
    /// Runs version 1; `more` is what stands in `[upgrade]`. `None` after saying `SKIP`.
    pub(super) fn up(more: &str) -> Option<Self> {
        Self::of(Registry::start(Access::Open)?, more)
    }

    /// The same, of this registry.
    fn of(registry: Registry, more: &str) -> Option<Self> {
        Self::on(Docker::get()?, registry, more)
    }

    /// The same on this engine.
    fn on(docker: &'static Docker, registry: Registry, more: &str) -> Option<Self> {
        let project = docker.project_image().unwrap()?;
        let repository = format!("{}/team/agnes", registry.host());
        let name = format!("{repository}:stable");
        let first = push(docker, project, &name, "LABEL version=1");
        let settings = [
            ("TLS_MODE", "files"),
            ("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0"),
            ("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "0"),
        ];
        let stack = Stack::up_on(docker, Version::V2_11, &name, &settings)?;
        let toml = format!(
            "[upgrade]\nmin_interval = \"0s\"\n{more}\n[upgrade.gate]\nstable_for = \"2s\"\ntimeout = \"20s\"\n"
        );
        std::fs::write(stack.deployment.dir().join("agnes.toml"), toml).unwrap();
        stack.answers(200);
        Some(Self {
            stack,
            registry,
            repository,
            first,
        })
    }

    /// Publishes a version as `stable`; its digest.
    pub(super) fn publish(&self, lines: &str) -> String {
        let name = format!("{}:stable", self.repository);
        push(self.stack.docker, "agnes-test/agnes:test", &name, lines)
    }

    /// The same with a program that it brings for the host.
    pub(super) fn publish_with(&self, lines: &str, program: &str) -> String {
        let name = format!("{}:stable", self.repository);
        let (docker, from) = (self.stack.docker, "agnes-test/agnes:test");
        push_with(docker, from, &name, lines, &[("agnes-ops", program)])
    }

    pub(super) fn upgrade(&self, verb: &[&str]) -> Ran {
        self.stack.deployment.ops(&[&["upgrade"], verb].concat())
    }

    /// The digest that runs, by the engine's word and by the server's.
    #[track_caller]
    pub(super) fn runs(&self, digest: &str) {
        let app = self.stack.project.container("app").unwrap();
        let format = [
            "inspect",
            "--format",
            "{{.Config.Image}} {{.State.Running}}",
            &app,
        ];
        let said = command::capture(&mut self.stack.docker.command(format)).unwrap();
        assert_eq!(said.trim(), format!("{}@{digest} true", self.repository));
        let state = super::socket(&self.stack, "/v1/state");
        assert!(
            state.contains(&format!("\"digest\":\"{digest}\"")),
            "{state}"
        );
        assert!(state.contains("\"writes\":\"open\""), "{state}");
        self.clean();
    }

    /// The version that it was started with runs.
    #[track_caller]
    pub(super) fn runs_first(&self) {
        super::until("the server answers", || {
            super::socket(&self.stack, "/v1/state").contains(&self.first)
                || super::socket(&self.stack, "/v1/state").contains("\"writes\":\"open\"")
        });
        self.clean();
    }

    /// No journal, hold, copy or lock is left.
    #[track_caller]
    fn clean(&self) {
        let state = self.stack.deployment.state();
        assert!(!state.join("ops/journal/upgrade.json").exists());
        assert!(
            !self
                .stack
                .project
                .path()
                .join("data/run/hold.json")
                .exists()
        );
        for left in ["ops/restore-points", "ops/rehearsal"] {
            let left = std::fs::read_dir(state.join(left));
            assert_eq!(left.map_or(0, Iterator::count), 0);
        }
    }

    fn sign_in(&self) -> String {
        let who = json!({"email": EMAIL, "password": PASSWORD});
        self.stack.post("/auth/bootstrap", None, &who).unwrap();
        let (status, tokens) = self.stack.post("/auth/token", None, &who).unwrap();
        assert_eq!(status, 200, "{tokens}");
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// Writes while `work` goes on: what was acknowledged is there afterwards, and nothing was refused but with 503.
    fn writing<T>(&self, token: &str, prefix: &str, work: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        let (result, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut written, mut number) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let name = format!("{prefix}_{number}");
                    match self
                        .stack
                        .post("/api/groups", Some(token), &json!({"name": name}))
                    {
                        Some((201, _)) => written.push(name),
                        Some((503, _)) | None => std::thread::sleep(Duration::from_millis(20)),
                        Some(other) => panic!("{name}: {other:?}"),
                    }
                }
                written
            });
            let result = work();
            stop.store(true, Ordering::Relaxed);
            (result, writer.join().unwrap())
        });
        assert!(written.len() > 5, "{written:?}");
        let bearer = format!("Bearer {token}");
        let listed = self
            .stack
            .get("/api/groups", &[("Authorization", bearer.as_str())])
            .unwrap();
        let lost: Vec<_> = written
            .iter()
            .filter(|name| !listed.text.contains(&format!("\"{name}\"")))
            .collect();
        assert!(lost.is_empty(), "of {}: lost {lost:?}", written.len());
        result
    }
}

#[test]
fn u01_a_good_version_is_swapped_in_and_no_acknowledged_write_is_lost() {
    let Some(host) = Host::up("") else {
        return;
    };
    // the first tick adopts what plain Compose started, and starts nothing
    let app = host.stack.app.clone();
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    assert_eq!(app, host.stack.project.container("app").unwrap());
    let token = host.sign_in();
    let second = host.publish("LABEL version=2");
    host.upgrade(&["check"]).exits(10);
    let planned = host.upgrade(&["--dry-run"]).exits(0);
    assert_eq!(planned.json["steps"].as_array().unwrap().len(), 15);
    let done = host.writing(&token, "good", || host.upgrade(&[]));
    let done = done.exits(0).with_outcome("changed");
    assert_eq!(done.detail("from.digest"), host.first.as_str());
    assert_eq!(done.detail("to.digest"), second.as_str());
    assert!(done.detail("held_ms").as_i64().unwrap() > 0);
    println!(
        "FIGURE upgrade-held-ms {} writes held, no migration, debug build",
        done.detail("held_ms")
    );
    host.runs(&second);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    // what a person starts is what was proven
    host.stack.project.up().unwrap();
    host.runs(&second);
    let history = host.upgrade(&["history"]).exits(0);
    assert_eq!(history.detail("upgrades")[0]["outcome"], "changed");
    assert_eq!(
        history.detail("upgrades")[0]["to"]["digest"],
        second.as_str()
    );
    let snapshot = history.detail("upgrades")[0]["snapshot"]["id"].clone();
    assert!(
        snapshot.as_str().unwrap().contains("-upgrade"),
        "{snapshot}"
    );
}

#[test]
fn u08_a_version_that_crashes_is_taken_back_once_and_not_tried_again() {
    let Some(host) = Host::up("") else {
        return;
    };
    let token = host.sign_in();
    host.upgrade(&[]).exits(0);
    let bad = host.publish(&entrypoint("exit 3"));
    let began = Instant::now();
    let failed = host.writing(&token, "crash", || host.upgrade(&[]));
    println!(
        "FIGURE upgrade-way-back-ms {} from a tick to the old version proven",
        began.elapsed().as_millis()
    );
    let failed = failed.exits(1).with_outcome("rolled-back");
    assert_eq!(failed.detail("failed_step"), "gate", "{}", failed.stdout);
    assert_eq!(failed.detail("ledger")[0]["digest"], bad.as_str());
    host.runs(&host.first);
    let app = host.stack.project.container("app").unwrap();
    for _ in 0..24 {
        let again = host.upgrade(&[]).exits(0).with_outcome("unchanged");
        assert_eq!(again.detail("reason"), "in-ledger");
    }
    assert_eq!(app, host.stack.project.container("app").unwrap());
    host.upgrade(&["forgive", &bad])
        .exits(0)
        .with_outcome("changed");
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    // the tag moves on
    let good = host.publish("LABEL version=3");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&good);
}

#[test]
fn u05_a_version_that_is_never_ready_or_not_for_long_is_taken_back() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    for (number, bad) in [
        "exec /bin/busybox sleep 3600",
        // it serves, takes writes, and is gone
        "/usr/lib/agnes/agnesd serve & sleep 1; kill -9 $!; exit 1",
    ]
    .into_iter()
    .enumerate()
    {
        host.publish(&entrypoint(bad));
        let failed = host.writing(&token, &format!("u05_{number}"), || host.upgrade(&[]));
        let failed = failed.exits(1).with_outcome("rolled-back");
        // the second may be gone between its first look and the release
        let step = failed.detail("failed_step").as_str().unwrap();
        assert!(["gate", "release"].contains(&step), "{}", failed.stdout);
        host.runs(&host.first);
        host.stack.answers(200);
    }
}

#[test]
fn u03_the_way_back_by_hand_needs_no_registry_and_survives_a_prune() {
    let Some(host) = Host::up("") else {
        return;
    };
    let nothing = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(nothing.detail("reason"), "nothing-before");
    let second = host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let Host {
        stack,
        registry,
        repository,
        first,
    } = host;
    drop(registry);
    for name in ["stable", "latest"] {
        let tag = format!("{repository}:{name}");
        let _ = command::capture(&mut stack.docker.command(["image", "rm", &tag]));
    }
    // of this host's images alone
    let filter = format!("label=host={}", repository.split('/').next().unwrap());
    command::capture(
        &mut stack
            .docker
            .command(["image", "prune", "--all", "--force", "--filter", &filter]),
    )
    .unwrap();
    let registry = Registry::start(Access::Open).unwrap();
    let host = Host {
        stack,
        registry,
        repository,
        first,
    };
    let back = host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
    assert_eq!(
        back.detail("from.digest"),
        second.as_str(),
        "{}",
        back.stdout
    );
    // by a tag of ours, for the digest went with the repository's last tag
    let app = host.stack.project.container("app").unwrap();
    let format = ["inspect", "--format", "{{.Config.Image}}", &app];
    let said = command::capture(&mut host.stack.docker.command(format)).unwrap();
    assert!(said.starts_with("agnes-kept:"), "{said}");
    host.clean();
    host.stack.answers(200);
    // what was left behind is not taken up again by itself
    assert_eq!(back.detail("ledger")[0]["digest"], second.as_str());
    let again = host.upgrade(&["rollback"]).exits(1);
    assert_eq!(again.detail("reason"), "nothing-before", "{}", again.stdout);
}

#[test]
fn u03_images_are_let_go_by_a_run_that_changes_nothing_and_probes_count() {
    let Some(host) = Host::up("keep_images = 2") else {
        return;
    };
    let kept = || {
        let filter = format!("label=host={}", host.repository.split('/').next().unwrap());
        let format = [
            "ps",
            "--all",
            "--filter",
            "label=agnes.kept=1",
            "--filter",
            &filter,
            "--format",
            "{{.Names}}",
        ];
        let said = command::capture(&mut host.stack.docker.command(format)).unwrap();
        said.lines().count()
    };
    for version in ["two", "three"] {
        host.publish(&format!("LABEL version={version}"));
        host.upgrade(&[]).exits(0).with_outcome("changed");
    }
    assert_eq!(kept(), 3);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(kept(), 2);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    let path = host.stack.deployment.dir().join("agnes.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let serving = host.publish("LABEL version=four");
    std::fs::write(&path, format!("{text}probes = [\"/api/health\"]\n")).unwrap();
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&serving);
    std::fs::write(&path, format!("{text}probes = [\"/no/such/page\"]\n")).unwrap();
    host.publish("LABEL version=five");
    let failed = host.upgrade(&[]).exits(100);
    assert!(
        failed.stderr.contains("/no/such/page: HTTP 404"),
        "{}",
        failed.stderr
    );
}

/// SIGKILL between any two effects of an upgrade: one more tick, and exactly one version serves, with all data.
#[test]
fn u09_killed_at_any_checkpoint_the_next_tick_leaves_one_healthy_version() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    let deployment = &host.stack.deployment;
    let mut serving = host.publish("LABEL version=counted");
    let count = crate::crash::checkpoints(deployment, &["upgrade"]);
    host.runs(&serving);
    // half a minute each: a sample, and all of them in a soak
    let soak = std::env::var_os("AGNES_SOAK").is_some();
    let sample = crate::crash::chosen(count);
    let sample = sample
        .into_iter()
        .enumerate()
        .filter(|(at, _)| soak || at % 4 == 0);
    for (_, number) in sample {
        let name = format!("before_{number}");
        let (status, _) = host
            .stack
            .post("/api/groups", Some(&token), &json!({"name": name}))
            .unwrap();
        assert_eq!(status, 201);
        let next = host.publish(&format!("LABEL version=killed-{number}"));
        crate::crash::killed_at(deployment, &["upgrade"], number);
        let tick = host.upgrade(&[]);
        match tick.code {
            0 => host.runs(&next),
            1 => {
                assert_eq!(
                    tick.json["outcome"], "rolled-back",
                    "{number}: {}",
                    tick.stdout
                );
                host.runs(&serving);
                host.upgrade(&[]).exits(0);
                host.runs(&next);
            }
            other => panic!("{number}: exit {other}: {}", tick.stdout),
        }
        serving = next;
        let bearer = format!("Bearer {token}");
        let groups = host
            .stack
            .get("/api/groups", &[("Authorization", bearer.as_str())])
            .unwrap();
        assert!(
            groups.text.contains(&format!("\"{name}\"")),
            "{number}: lost {name}"
        );
        deployment.ops(&["upgrade", "check"]).exits(0);
    }
}

#[test]
fn u01_a_version_that_cannot_read_the_data_never_comes_to_the_swap() {
    let Some(host) = Host::up("") else {
        return;
    };
    let bad = host.publish("ENTRYPOINT [\"/bin/busybox\", \"false\"]");
    let app = host.stack.app.clone();
    let failed = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(
        failed.detail("failed_step"),
        "rehearse",
        "{}",
        failed.stdout
    );
    assert_eq!(failed.detail("held_ms"), &Value::Null);
    assert_eq!(app, host.stack.project.container("app").unwrap());
    host.clean();
    let again = host.upgrade(&[]).exits(0);
    assert_eq!(again.detail("reason"), "in-ledger");
    assert_eq!(again.detail("ledger")[0]["digest"], bad.as_str());
}

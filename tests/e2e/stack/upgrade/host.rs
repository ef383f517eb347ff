//! A stack that follows a tag of a registry of its own, and the versions that are published there.

use agnes_e2e::caddy::Version;
use agnes_e2e::deployment::Ran;
use agnes_e2e::docker::Docker;
use agnes_e2e::registry::{Access, Registry};
use serde_json::{Value, json};
use xtask::command;

use crate::stack::{Stack, socket, until};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// A stack that follows the tag `stable` of a registry of its own.
pub(in crate::stack) struct Host {
    pub(in crate::stack) stack: Stack,
    pub(super) registry: Registry,
    pub(super) repository: String,
    /// The digest that it was started with.
    pub(in crate::stack) first: String,
}

/// An entrypoint of its own, which does `serve` for everything but `db`.
pub(in crate::stack) fn entrypoint(serve: &str) -> String {
    let script = format!("case $1 in db) exec /usr/lib/agnes/agnesd \"$@\";; *) {serve};; esac");
    let entrypoint = json!(["/bin/busybox", "sh", "-c", script, "sh"]);
    format!("ENTRYPOINT {entrypoint}\nCMD [\"serve\"]")
}

/// A `defer_max` of one second; it is counted in whole ones.
pub(super) fn defer_max_passes() {
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

/// Images of one host are no other's, for tests share the engine.
pub(in crate::stack) fn push(docker: &Docker, from: &str, name: &str, lines: &str) -> String {
    push_with(docker, from, name, lines, &[])
}

pub(super) fn push_with(
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
    pub(in crate::stack) fn up(more: &str) -> Option<Self> {
        Self::of(Registry::start(Access::Open)?, more)
    }

    /// The same, of this registry.
    pub(super) fn of(registry: Registry, more: &str) -> Option<Self> {
        Self::on(Docker::get()?, registry, more)
    }

    /// The same on this engine.
    pub(super) fn on(docker: &'static Docker, registry: Registry, more: &str) -> Option<Self> {
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
    pub(in crate::stack) fn publish(&self, lines: &str) -> String {
        let name = format!("{}:stable", self.repository);
        push(self.stack.docker, "agnes-test/agnes:test", &name, lines)
    }

    /// The same with a program that it brings for the host.
    pub(in crate::stack) fn publish_with(&self, lines: &str, program: &str) -> String {
        let name = format!("{}:stable", self.repository);
        let (docker, from) = (self.stack.docker, "agnes-test/agnes:test");
        push_with(docker, from, &name, lines, &[("agnes-ops", program)])
    }

    pub(in crate::stack) fn upgrade(&self, verb: &[&str]) -> Ran {
        self.stack.deployment.ops(&[&["upgrade"], verb].concat())
    }

    /// Adds this to one of the deployment's files.
    pub(in crate::stack) fn append(&self, name: &str, text: &str) {
        let path = self.stack.deployment.dir().join(name);
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{old}{text}")).unwrap();
    }

    /// The digest that runs, by the engine's word and by the server's.
    #[track_caller]
    pub(in crate::stack) fn runs(&self, digest: &str) {
        let app = self.stack.project.container("app").unwrap();
        let format = [
            "inspect",
            "--format",
            "{{.Config.Image}} {{.State.Running}}",
            &app,
        ];
        let said = command::capture(&mut self.stack.docker.command(format)).unwrap();
        assert_eq!(said.trim(), format!("{}@{digest} true", self.repository));
        let state = socket(&self.stack, "/v1/state");
        assert!(
            state.contains(&format!("\"digest\":\"{digest}\"")),
            "{state}"
        );
        assert!(state.contains("\"writes\":\"open\""), "{state}");
        self.clean();
    }

    /// The version that it was started with runs.
    #[track_caller]
    pub(in crate::stack) fn runs_first(&self) {
        until("the server answers", || {
            socket(&self.stack, "/v1/state").contains(&self.first)
                || socket(&self.stack, "/v1/state").contains("\"writes\":\"open\"")
        });
        self.clean();
    }

    /// No journal, hold, copy or lock is left.
    #[track_caller]
    pub(super) fn clean(&self) {
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

    pub(super) fn sign_in(&self) -> String {
        let who = json!({"email": EMAIL, "password": PASSWORD});
        self.stack.post("/auth/bootstrap", None, &who).unwrap();
        let (status, tokens) = self.stack.post("/auth/token", None, &who).unwrap();
        assert_eq!(status, 200, "{tokens}");
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    pub(in crate::stack) fn state(&self) -> Value {
        let said = crate::stack::socket(&self.stack, "/v1/state");
        let (_, body) = said.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    #[track_caller]
    pub(in crate::stack) fn writes(&self, token: &str, name: &str) {
        let answer = self
            .stack
            .post("/api/groups", Some(token), &json!({"name": name}));
        let (status, said) = answer.unwrap();
        assert_eq!(status, 201, "{said}");
    }

    pub(super) fn groups(&self, token: &str) -> String {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let groups = self.stack.get("/api/groups", &headers).unwrap();
        assert_eq!(groups.status, 200, "{}", groups.text);
        groups.text
    }

    pub(super) fn has(&self, token: &str, name: &str) -> bool {
        self.groups(token).contains(&format!("\"{name}\""))
    }

    /// One more tick after whatever was cut off: one version serves, whichever it is; its digest.
    #[track_caller]
    pub(super) fn next_tick_leaves_one(&self, at: &str) -> String {
        let tick = self.upgrade(&[]);
        assert!(tick.code <= 1, "{at}: exit {}: {}", tick.code, tick.stdout);
        let digest = self.state()["digest"].as_str().unwrap().to_owned();
        self.runs(&digest);
        digest
    }
}

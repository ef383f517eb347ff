//! Secrets rotated under a whole stack, with a side-car and with environments that have grown stale.

use agnes_e2e::docker::BASE_IMAGE;
use xtask::command;

use super::Stack;

/// A side-car that is given the scheduler's token, and an app that is given what counts in its files too.
const OVERRIDE: &str = "services:
  app:
    environment:
      SCHEDULER_API_TOKEN: ${SCHEDULER_API_TOKEN}
      SCHEDULER_API_TOKEN_PREVIOUS: ${SCHEDULER_API_TOKEN_PREVIOUS:-}
  poller:
    image: BASE
    command: [/bin/busybox, sleep, '3600']
    init: true
    environment:
      SCHEDULER_API_TOKEN: ${SCHEDULER_API_TOKEN}
    network_mode: none
";

impl Stack {
    fn token(&self) -> String {
        let live = self.deployment.state().join("secrets/live");
        std::fs::read_to_string(live.join("SCHEDULER_API_TOKEN")).unwrap()
    }

    fn asked(&self, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        self.get("/api/jobs", &[("Authorization", bearer.as_str())])
            .unwrap()
            .status
    }

    /// The same stack with side-cars.
    fn with_side_cars(mut self) -> Self {
        let text = OVERRIDE.replace("BASE", BASE_IMAGE);
        let name = "docker-compose.override.yml";
        self.project.write(name, text).unwrap();
        self.deployment.ops(&["render", "compose"]).exits(0);
        self.project.up().unwrap();
        self.app = self.project.container("app").unwrap();
        self.becomes("healthy");
        self.answers(200);
        self
    }
}

#[test]
fn a03_side_cars_are_named_until_they_have_moved_and_a_restart_brings_no_retired_key_back() {
    let Some(stack) = Stack::up() else {
        return;
    };
    let stack = stack.with_side_cars();
    let ops = |verb: &[&str]| stack.deployment.ops(verb);
    let first = stack.token();
    assert_eq!(stack.asked(&first), 200);
    ops(&["secrets", "check"]).exits(0);

    let rotated = ops(&["secrets", "rotate", "scheduler"]).exits(0);
    assert_eq!(
        rotated.detail("told"),
        "control-socket",
        "{}",
        rotated.stdout
    );
    // the side-car was started with the old one, and says so by calling with it
    assert_eq!(stack.asked(&first), 200);
    let waiting = ops(&["secrets", "rotate", "scheduler"]).exits(75);
    assert_eq!(waiting.detail("side_cars")[0]["service"], "poller");
    assert_eq!(waiting.detail("side_cars")[0]["moved"], false);
    assert!(
        waiting.stderr.contains("--force-recreate poller"),
        "{}",
        waiting.stderr
    );
    let found = ops(&["secrets", "check"]).exits(10);
    assert!(
        found
            .stdout
            .contains("service poller was started with another value"),
        "{}",
        found.stdout
    );

    // the second is compromised before the first is gone
    let poller = stack.project.container("poller").unwrap();
    let now = ops(&["secrets", "rotate", "scheduler", "--now"]).exits(0);
    assert_eq!(now.detail("side_cars")[0]["moved"], true, "{}", now.stdout);
    assert_ne!(poller, stack.project.container("poller").unwrap());
    assert_eq!(stack.app, stack.project.container("app").unwrap());
    assert_eq!(
        (stack.asked(&first), stack.asked(&stack.token())),
        (401, 200)
    );
    ops(&["secrets", "check"]).exits(0);

    // the environment that the engine starts it with again is the one before both rotations
    assert!(stack.app("{{json .Config.Env}}").contains(&first));
    command::capture(&mut stack.docker.command(["restart", &stack.app])).unwrap();
    stack.answers(200);
    assert_eq!(
        (stack.asked(&first), stack.asked(&stack.token())),
        (401, 200)
    );
}

#[test]
fn a_server_without_its_socket_is_made_anew_with_the_new_values() {
    let Some(mut stack) = Stack::up() else {
        return;
    };
    let first = stack.token();
    let socket = stack.project.path().join("data/run/agnesd.sock");
    std::fs::remove_file(socket).unwrap();
    let rotated = stack
        .deployment
        .ops(&["secrets", "rotate", "scheduler"])
        .exits(0);
    assert_eq!(rotated.detail("told"), "re-created", "{}", rotated.stdout);
    assert_eq!(rotated.detail("proof.state"), "proven");
    let app = stack.project.container("app").unwrap();
    assert_ne!(stack.app, app);
    stack.app = app;
    stack.answers(200);
    assert_eq!(
        (stack.asked(&first), stack.asked(&stack.token())),
        (200, 200)
    );
}

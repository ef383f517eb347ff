//! W04, W05 on the shipped stack: well, it has no finding; sick, the first one is what is wrong.

use agnes_e2e::deployment::Ran;
use serde_json::Value;
use xtask::command;

use super::{Stack, until};

fn causes(ran: &Ran) -> Vec<String> {
    let findings = ran.json["details"]["findings"].as_array().unwrap();
    let roots = findings
        .iter()
        .filter(|finding| finding["because"].is_null());
    roots
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

impl Stack {
    fn docker(&self, arguments: &[&str]) {
        command::capture(&mut self.docker.command(arguments.iter().copied())).unwrap();
    }

    #[track_caller]
    fn is_sick_of(&self, id: &str) {
        let ran = self.deployment.ops(&["doctor"]);
        assert_eq!(causes(&ran), [id], "{}", ran.stdout);
        assert_eq!(ran.code, 10);
    }
}

#[test]
fn w04_a_stack_that_is_well_has_no_finding_and_a_sick_one_its_own() {
    let Some(stack) = Stack::up() else { return };
    let ops = |verb: &[&str]| stack.deployment.ops(verb);
    ops(&["snapshot", "create"]).exits(0);
    let well = ops(&["doctor"]);
    assert_eq!(causes(&well), [""; 0], "{}", well.stdout);
    let passed = well.json["details"]["passed"].as_array().unwrap();
    for id in [
        "docker.engine",
        "stack.down",
        "store.write",
        "stack.restarts",
    ] {
        assert!(passed.contains(&Value::from(id)), "{id}: {}", well.stdout);
    }
    ops(&["status"]).exits(0);

    // killed, and left
    let app = stack.app.clone();
    stack.docker(&["stop", &app]);
    stack.is_sick_of("stack.down");
    stack.docker(&["start", &app]);
    until("the server answers", || {
        ops(&["doctor", "server.answers"]).code == 0
    });

    // the proxy too
    let caddy = stack.project.container("caddy").unwrap();
    stack.docker(&["stop", &caddy]);
    stack.is_sick_of("stack.stopped");
    stack.docker(&["start", &caddy]);
    stack.answers(200);

    // ended by a signal that nobody can catch, as the kernel does for memory (W05)
    stack.docker(&["update", "--restart=no", &app]);
    stack.docker(&["kill", "--signal=KILL", &app]);
    until("it has ended", || {
        stack.app("{{.State.Running}}") == "false"
    });
    stack.is_sick_of("stack.oom");
    stack.docker(&["start", &app]);
    until("the server answers", || {
        ops(&["doctor", "server.answers"]).code == 0
    });
    stack.docker(&["update", "--restart=unless-stopped", &app]);
    assert_eq!(causes(&ops(&["doctor"])), [""; 0]);
}

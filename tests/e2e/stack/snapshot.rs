//! `agnes-ops snapshot` on the shipped stack: the server in a container, its image where the server does not run.

use serde_json::{Value, json};

use super::{Stack, socket, until};

impl Stack {
    fn snapshot(&self, verb: &[&str]) -> agnes_e2e::deployment::Ran {
        self.deployment.ops(&[&["snapshot"], verb].concat())
    }

    fn users(&self) -> Value {
        let answer = socket(self, "/v1/state");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let state: Value = serde_json::from_str(body).unwrap();
        state["store"]["users"].clone()
    }

    fn write(&self) {
        let body =
            json!({"email": "admin@example.com", "password": "correct horse battery staple"});
        let (status, said) = self.post("/auth/bootstrap", None, &body).unwrap();
        assert_eq!(status, 201, "{said}");
    }
}

#[test]
fn s09_a_snapshot_of_the_stack_is_made_proven_drilled_and_put_back() {
    let Some(stack) = Stack::up() else { return };
    let first = stack.snapshot(&["create"]).exits(0);
    assert_eq!(first.detail("made_by"), "server");
    let first = first.detail("id").as_str().unwrap().to_owned();
    stack.write();
    assert_eq!(stack.users(), 2);
    stack.snapshot(&["verify", "--all"]).exits(0);
    let drilled = stack.snapshot(&["drill"]).exits(0);
    assert!(drilled.detail("rto_ms").as_u64().unwrap() > 0);
    let left = stack
        .docker
        .command(["ps", "--all", "--quiet", "--filter", "name=agnes-drill"]);
    let left = agnes_e2e::deployment::run(left);
    assert_eq!(left.stdout.trim(), "", "the drill left its server");

    let ran = stack.snapshot(&["restore", &first]).exits(0);
    assert_eq!(ran.json["outcome"], "changed");
    assert_eq!(ran.detail("lost.rows.users"), 1);
    assert_eq!(stack.users(), 1);
    stack.answers(200);
    // the same container: no mount or variable was lost
    assert_eq!(stack.project.container("app").unwrap(), stack.app);
    assert_eq!(stack.app("{{.State.Running}}"), "true");
    let kept = ran.detail("kept").as_str().unwrap().to_owned();

    // stopped by a person: the image makes and proves snapshots, and nothing is started
    let stop = stack.docker.command(["stop", &stack.app]);
    agnes_e2e::deployment::run(stop).exits(0);
    let offline = stack.snapshot(&["create", "--reason", "offline"]).exits(0);
    assert_eq!(offline.detail("made_by"), "export");
    stack.snapshot(&["verify"]).exits(0);
    stack.snapshot(&["restore", &kept]).exits(0);
    assert_eq!(stack.app("{{.State.Running}}"), "false");
    let start = stack.docker.command(["start", &stack.app]);
    agnes_e2e::deployment::run(start).exits(0);
    until("the server has both users again", || {
        std::os::unix::net::UnixStream::connect(stack.project.path().join("data/run/agnesd.sock"))
            .is_ok()
    });
    assert_eq!(stack.users(), 2);

    // a restore that was cut off is ended by the next tick of an upgrade
    let number = crate::snapshot::restore::starting(&stack.deployment, &first);
    stack.write();
    let restore = ["snapshot", "restore", &first];
    crate::crash::killed_at(&stack.deployment, &restore, number).unwrap();
    let ran = stack.deployment.ops(&["upgrade"]).exits(1);
    assert_eq!(ran.json["outcome"], "rolled-back", "{}", ran.stdout);
    assert_eq!(stack.users(), 2);
    let answer = socket(&stack, "/v1/state");
    assert!(answer.contains("\"writes\":\"open\""), "{answer}");
}

//! A server whose jobs run.

use serde_json::json;
use xtask::command;

use super::host::defer_max_passes;
use super::{Host, entrypoint};
use crate::stack::until;

/// Calls a server in the same container that never answers.
const JOB: &str = r#"
[[jobs]]
name = "slow"
schedule = "daily 03:00"
url = "http://127.0.0.1:9099/"
timeout = "1h"
retries = 0
"#;
const NEVER_ANSWERS: &str = "/bin/busybox sleep 3600 | /bin/busybox nc -l -p 9099 >/dev/null & exec /usr/lib/agnes/agnesd serve";

impl Host {
    fn runs_a_job(&self) -> bool {
        let said = self.state()["jobs_running"].clone();
        said.as_array().is_some_and(|running| !running.is_empty())
    }

    /// Waits, and gives up after `defer_max`; what runs is never touched.
    #[track_caller]
    fn waits_for_its_jobs(&self) {
        let app = self.stack.project.container("app").unwrap();
        let waits = self.upgrade(&[]).exits(75).with_outcome("deferred");
        assert_eq!(waits.detail("reason"), "jobs-running");
        defer_max_passes();
        let gives_up = self.upgrade(&[]).exits(1);
        assert_eq!(gives_up.detail("reason"), "jobs-running");
        assert!(
            gives_up.stderr.contains("a person is needed"),
            "{}",
            gives_up.stderr
        );
        assert_eq!(self.stack.project.container("app").unwrap(), app);
        assert!(self.runs_a_job());
        assert_eq!(self.state()["draining"], false);
    }
}

#[test]
fn u10_jobs_that_run_are_waited_for_and_never_killed() {
    let Some(host) = Host::up("defer_max = \"1s\"") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    host.append("agnes.toml", JOB);
    host.append(".env", "ALLOWED_PRIVATE_NETS=127.0.0.0/8\n");
    host.publish(&entrypoint(NEVER_ANSWERS));
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let run = host
        .stack
        .post("/api/jobs/slow/run", Some(&token), &json!({}));
    assert_eq!(run.unwrap().0, 202);
    until("the job runs", || host.runs_a_job());

    // a file that was changed
    host.append(".env", "LOG_LEVEL=debug\n");
    host.waits_for_its_jobs();
    // and a version
    let third = host.publish("LABEL version=3");
    host.waits_for_its_jobs();

    let app = host.stack.project.container("app").unwrap();
    let end = ["exec", &app, "/bin/busybox", "killall", "busybox"];
    command::capture(&mut host.stack.docker.command(end)).unwrap();
    until("the job has ended", || !host.runs_a_job());
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&third);
}

//! A side-car of which several run: one is replaced at a time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use xtask::command;

use super::upgrade::Host;

const OWN: &str = "docker-compose.override.yml";

impl Host {
    /// The containers of the service that run, by id.
    fn workers(&self) -> BTreeSet<String> {
        let dir = self.stack.project.path().display();
        let project = format!("label=com.docker.compose.project.working_dir={dir}");
        let argv = [
            "ps",
            "--quiet",
            "--no-trunc",
            "--filter",
            "label=com.docker.compose.service=worker",
            "--filter",
            &project,
        ];
        let said = command::capture(&mut self.stack.docker.command(argv)).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    /// Three that do this once they have begun, and are healthy when they say so.
    fn declare(&self, script: &str) {
        let own = format!(
            r#"services:
  worker:
    image: agnes-test/agnes:test
    entrypoint: ["/bin/busybox", "sh", "-c", "{script}"]
    network_mode: none
    tmpfs: [/run/worker]
    healthcheck:
      test: ["CMD", "/bin/busybox", "test", "-e", "/run/worker/well"]
      interval: 1s
      retries: 30
    stop_grace_period: 1s
    deploy: {{replicas: 3}}
"#
        );
        std::fs::write(self.stack.deployment.dir().join(OWN), own).unwrap();
    }

    /// A tick, and the fewest that ran meanwhile.
    fn tick_watched(&self) -> (agnes_e2e::deployment::Ran, usize) {
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut fewest = usize::MAX;
                while !ends.load(Ordering::Relaxed) {
                    fewest = fewest.min(self.workers().len());
                }
                fewest
            });
            let ran = self.upgrade(&[]);
            ends.store(true, Ordering::Relaxed);
            (ran, watch.join().unwrap())
        })
    }
}

const WELL: &str = "/bin/busybox touch /run/worker/well; exec /bin/busybox sleep 3600";

#[test]
fn u12_replicas_are_replaced_one_at_a_time_and_a_bad_one_takes_no_other_along() {
    let Some(host) = Host::up("") else { return };
    host.declare(WELL);
    host.upgrade(&[]).exits(0);
    host.stack.deployment.ops(&["render", "compose"]).exits(0);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let first = host.workers();
    assert_eq!(first.len(), 3);

    host.declare(&format!("/bin/busybox sleep 1; {WELL}"));
    let (ran, fewest) = host.tick_watched();
    ran.exits(0).with_outcome("changed");
    assert_eq!(fewest, 2, "more than one was away at once");
    let second = host.workers();
    assert_eq!(second.len(), 3);
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");

    // what does not concern them
    host.append(".env", "LOG_LEVEL=debug\n");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    assert_eq!(host.workers(), second);

    // it ends, or is never healthy
    for bad in ["exit 1", "exec /bin/busybox sleep 3600"] {
        host.declare(bad);
        for _ in 0..2 {
            let ran = host.upgrade(&[]).exits(1);
            assert_eq!(ran.detail("reason"), "drift-not-proven", "{}", ran.stdout);
            assert!(ran.stderr.contains("worker"), "{}", ran.stderr);
            assert_eq!(host.workers().intersection(&second).count(), 2);
        }
    }
    host.declare(&format!("true; {WELL}"));
    let (ran, fewest) = host.tick_watched();
    ran.exits(0).with_outcome("changed");
    assert!(fewest >= 2, "{fewest}");
    let third = host.workers();
    assert_eq!(third.len(), 3);
    assert!(second.is_disjoint(&third));
}

//! The engine's daemon dies in the middle of an upgrade.

use agnes_e2e::components::{is_soak, seed};
use agnes_e2e::docker::Docker;
use agnes_e2e::registry::{Access, Registry};
use serde_json::Value;

use super::Host;

/// As the journal names them: one point in each.
const PHASES: [&str; 5] = ["preparing", "holding", "stopping", "starting", "released"];

impl Host {
    /// The phase of the upgrade that is open.
    fn phase(&self) -> Option<String> {
        let journal = self
            .stack
            .deployment
            .state()
            .join("ops/journal/upgrade.json");
        let open: Value = serde_json::from_slice(&std::fs::read(journal).ok()?).ok()?;
        open["phase"].as_str().map(str::to_owned)
    }

    /// Whether the server's container runs, by the engine's word.
    fn app_runs(&self) -> bool {
        let ids = self.stack.project.container("app");
        ids.is_ok_and(|id| {
            let format = ["inspect", "--format", "{{.State.Running}}", &id];
            let said = xtask::command::capture(&mut self.stack.docker.command(format));
            said.is_ok_and(|said| said.trim() == "true")
        })
    }
}

/// One more tick, and exactly one version serves, with every acknowledged write.
#[test]
fn u09_when_the_engine_dies_in_an_upgrade_the_next_tick_leaves_one_healthy_version() {
    let Some(docker) = Docker::private() else {
        return;
    };
    let Some(registry) = Registry::start(Access::Open) else {
        return;
    };
    let Some(host) = Host::on(docker, registry, "") else {
        return;
    };
    let engine = docker.engine().unwrap();
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    let mut serving = host.first.clone();
    // half a minute each: all of them in a soak
    let soak = is_soak();
    let chosen = usize::try_from(seed() % 5).unwrap();
    println!("seed {}: {} and the one after next", seed(), PHASES[chosen]);
    for (number, phase) in PHASES.into_iter().enumerate() {
        if !soak && number != chosen && number != (chosen + 2) % PHASES.len() {
            continue;
        }
        let name = format!("before_{phase}");
        host.writes(&token, &name);
        let next = host.publish(&format!("LABEL killed={phase}"));
        std::thread::scope(|scope| {
            let tick = scope.spawn(|| host.upgrade(&[]));
            while host.phase().as_deref() != Some(phase) {
                assert!(!tick.is_finished(), "it was never {phase}");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            engine.kill().unwrap();
            let tick = tick.join().unwrap();
            assert!([1, 100].contains(&tick.code), "{phase}: {}", tick.stdout);
        });
        engine.start_again().unwrap();
        // what the engine starts again by itself is given the time for it
        if host.phase().is_none() && host.app_runs() {
            host.stack.answers(200);
        }
        let digest = host.next_tick_leaves_one(phase);
        assert!([&serving, &next].contains(&&digest), "{phase}: {digest}");
        assert!(host.has(&token, &name), "{phase}: lost {name}");
        // what was not to blame is tried again; what was, is forgiven
        host.upgrade(&["forgive", &next]).exits(0);
        host.upgrade(&[]).exits(0);
        host.runs(&next);
        serving = next;
    }
}

//! `agnes-ops upgrade` killed between any two of its effects.

use agnes_e2e::components::is_soak;

use super::Host;
use crate::crash;

/// SIGKILL between any two effects of an upgrade: one more tick, and exactly one version serves, with all data.
#[test]
fn u09_killed_at_any_checkpoint_the_next_tick_leaves_one_healthy_version() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let deployment = &host.stack.deployment;
    let mut serving = host.publish("LABEL version=counted");
    let count = crash::checkpoints(deployment, &["upgrade"]);
    host.runs(&serving);
    // half a minute each: a sample, and all of them in a soak
    let soak = is_soak();
    let sample = crash::chosen(count);
    let sample = sample
        .into_iter()
        .enumerate()
        .filter(|(at, _)| soak || at % 4 == 0);
    for (_, number) in sample {
        let name = format!("before_{number}");
        // all of them take longer than an access token lives
        let token = host.sign_in();
        host.writes(&token, &name);
        let next = host.publish(&format!("LABEL version=killed-{number}"));
        crash::killed_at(deployment, &["upgrade"], number);
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
        assert!(host.has(&token, &name), "{number}: lost {name}");
        deployment.ops(&["upgrade", "check"]).exits(0);
    }
}

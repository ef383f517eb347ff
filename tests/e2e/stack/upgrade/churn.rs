//! Upgrades and rollbacks one after another, under a client that writes and one that reads on a kept connection.

use agnes_e2e::components::is_soak;

use super::Host;
use super::clients::Seen;
use super::host::entrypoint;

#[test]
fn u01_upgrades_and_rollbacks_lose_no_acknowledged_write_and_fail_no_read() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let rounds = match is_soak() {
        true => 20,
        false => 1,
    };
    let mut all = Seen::default();
    for round in 0..rounds {
        let next = host.publish(&format!("LABEL version=next-{round}"));
        let seen = host.under_both(&format!("churn_{round}"), || {
            host.upgrade(&[]).exits(0).with_outcome("changed");
            host.runs(&next);
            host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
        });
        host.runs(&host.first);
        all.add(seen);
        assert!(all.wrong.is_empty(), "round {round}: {:?}", all.wrong);
        let unanswered = &all.unanswered;
        assert!(unanswered.is_empty(), "round {round}: {unanswered:?}");
    }
    host.has_all(&host.sign_in(), &all.written);
    assert!(all.written.len() > 20 && all.reads > 20, "{all:?}");
    println!("FIGURE churn-rounds {rounds} an upgrade and a rollback each, none lost a write");
    println!("FIGURE churn-writes {} acknowledged", all.written.len());
    println!(
        "FIGURE churn-refused {} writes, each with 503 and Retry-After",
        all.refused
    );
    println!(
        "FIGURE churn-reads {} on kept connections, none failed",
        all.reads
    );
    println!(
        "FIGURE churn-slowest-read {:.1} s",
        all.slowest_read.as_secs_f64()
    );
}

/// Its host files are others, so the proxy is made to read its configuration again while it holds calls.
#[test]
fn u01_a_version_that_starts_slowly_fails_no_read() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let slowly = entrypoint("/bin/busybox sleep 4; exec /usr/lib/agnes/agnesd \"$@\"");
    let next = host.publish(&slowly);
    let seen = host.under_both("slow", || {
        let ran = host.upgrade(&[]).exits(0).with_outcome("changed");
        assert!(ran.stdout.contains("docker compose up"), "{}", ran.stdout);
    });
    host.runs(&next);
    assert!(
        seen.wrong.is_empty() && seen.unanswered.is_empty(),
        "{seen:?}"
    );
    // it was away for that long, and the proxy held what came
    assert!(seen.slowest_read.as_secs() >= 3, "{seen:?}");
    host.has_all(&host.sign_in(), &seen.written);
}

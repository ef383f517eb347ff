//! What an upgrade would do: told by `explain`, tried by `rehearse`; nothing that serves is touched by either.

use agnes_e2e::deployment::run;
use serde_json::Value;

use super::{Host, entrypoint};

#[test]
fn the_plan_is_told_and_tried_and_nothing_that_serves_is_touched() {
    let Some(host) = Host::up("") else {
        return;
    };
    let same = host.upgrade(&["explain"]).exits(0);
    assert_eq!(same.detail("plan").as_array().map(Vec::len), Some(0));
    host.upgrade(&["rehearse"])
        .exits(0)
        .with_outcome("unchanged");

    let second = host.publish("LABEL version=2");
    let app = host.stack.app.clone();
    let told = host.upgrade(&["explain"]).exits(0);
    assert_eq!(told.detail("from.digest"), host.first.as_str());
    assert_eq!(told.detail("to.digest"), second.as_str());
    let plan = told.detail("plan").as_array().unwrap();
    assert_eq!(plan.len(), 15);
    for step in plan {
        for key in ["step", "does", "undo"] {
            assert_ne!(step[key].as_str().unwrap_or_default(), "", "{step}");
        }
    }
    host.upgrade(&["hold", "--why", "month end"]).exits(0);
    let waits = host.upgrade(&["explain"]).exits(0);
    assert_eq!(waits.detail("reason"), "on-hold");
    let words = run(host.stack.deployment.command(&["upgrade", "explain"])).exits(0);
    for said in ["month end", "1. preflight", "undo: the old version"] {
        assert!(words.stdout.contains(said), "{said}: {}", words.stdout);
    }

    // a hold keeps nobody from trying
    let tried = host.upgrade(&["rehearse"]).exits(0);
    assert_eq!(tried.detail("migrates"), false, "{}", tried.stdout);
    assert_eq!(tried.detail("to.digest"), second.as_str());
    // stop and start were never measured here
    assert_eq!(tried.detail("expected_held.upgrades_measured"), 0);
    assert!(tried.detail("expected_held_ms").as_i64().unwrap() >= 3000);
    let disk = |key: &str| tried.detail(&format!("disk.{key}")).as_u64().unwrap();
    assert!(disk("needed_bytes") > 256 << 20);
    assert!(disk("image_bytes") > 1 << 20);
    assert_eq!(host.stack.project.container("app").unwrap(), app);
    host.clean();
    host.stack.answers(200);
    host.upgrade(&["unhold"]).exits(0);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&second);
    let history = host.upgrade(&["history"]).exits(0);
    assert_eq!(history.detail("upgrades")[1]["rehearsal"], true);

    // now they were
    host.publish("LABEL version=3");
    let tried = host.upgrade(&["rehearse"]).exits(0);
    assert_eq!(tried.detail("expected_held.upgrades_measured"), 1);

    let app = host.stack.project.container("app").unwrap();
    let bad = host.publish("ENTRYPOINT [\"/bin/busybox\", \"false\"]");
    let failed = host.upgrade(&["rehearse"]).exits(1);
    assert_eq!(failed.detail("reason"), "rehearsal-failed");
    assert_eq!(failed.detail("failed_step"), "rehearse");
    assert!(
        failed.stderr.contains("was not touched"),
        "{}",
        failed.stderr
    );
    // a person looks at it: the ledger is of what ticks tried
    assert_eq!(failed.detail("ledger").as_array().map(Vec::len), Some(0));
    assert_eq!(host.stack.project.container("app").unwrap(), app);
    host.runs(&second);
    let named = host.upgrade(&["rehearse", "--to", &host.first]).exits(0);
    assert_eq!(named.detail("to.digest"), host.first.as_str());
    assert_eq!(named.detail("failed_step"), &Value::Null);
    // the next tick tries it itself, and then it is known
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    let known = host.upgrade(&["explain"]).exits(0);
    assert_eq!(known.detail("reason"), "in-ledger");
    assert_eq!(known.detail("to.digest"), bad.as_str());
}

/// Versions that were only tried push none out that served.
#[test]
fn u03_bad_versions_do_not_push_the_last_good_one_out() {
    let Some(host) = Host::up("keep_images = 2") else {
        return;
    };
    let second = host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    for number in 0..2 {
        host.publish(&format!("LABEL bad={number}\n{}", entrypoint("exit 3")));
        host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    }
    host.upgrade(&["--to", &second]).exits(0);
    host.runs(&second);
    let back = host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
    assert_eq!(back.detail("to.digest"), host.first.as_str());
}

//! The hour after an upgrade: what it changed is told, and that it made things worse, with the way back and what that loses.

use serde_json::Value;
use xtask::command;

use super::{Host, migration};

impl Host {
    fn watch(&self) -> agnes_e2e::deployment::Ran {
        self.stack.deployment.ops(&["watch"]).exits(0)
    }

    /// Its process is started anew, and no command of ours does it.
    fn restarts(&self) {
        let app = self.stack.project.container("app").unwrap();
        let docker = self.stack.docker;
        command::capture(&mut docker.command(["restart", app.as_str()])).unwrap();
        self.stack.answers(200);
    }
}

fn ids(ran: &agnes_e2e::deployment::Ran, list: &str) -> Vec<String> {
    let all = ran.detail(list).as_array().unwrap().iter();
    all.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

fn of<'a>(ran: &'a agnes_e2e::deployment::Ran, list: &str, id: &str) -> &'a Value {
    let mut all = ran.detail(list).as_array().unwrap().iter();
    let found = all.find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {}", ran.stdout))
}

#[test]
fn u06_a_version_that_restarts_after_its_commit_is_found_with_the_way_back() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    assert_eq!(ids(&host.watch(), "changes"), [""; 0]);
    // what nobody of ours did is told once
    host.restarts();
    let seen = host.watch();
    assert_eq!(
        ids(&seen, "changes"),
        ["changed.restarts"],
        "{}",
        seen.stdout
    );
    let restarted = of(&seen, "changes", "changed.restarts");
    assert_eq!(restarted["severity"], "warning");
    assert_eq!(ids(&host.watch(), "changes"), [""; 0]);

    let token = host.sign_in();
    host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let seen = host.watch();
    let changed = of(&seen, "changes", "changed.image");
    assert_eq!(changed["severity"], "info");
    let evidence = changed["evidence"].as_str().unwrap();
    let (_, by) = evidence.split_once("by agnes-ops ").unwrap();
    assert!(by.contains("upgrade"), "{evidence}");
    assert!(!ids(&seen, "findings").contains(&"upgrade.regressed".to_owned()));

    // one restart was there in the hour before too
    host.restarts();
    assert!(!ids(&host.watch(), "findings").contains(&"upgrade.regressed".to_owned()));
    host.restarts();
    let worse = of(&host.watch(), "findings", "upgrade.regressed").clone();
    let next = worse["next"].as_str().unwrap();
    assert!(
        next.contains("upgrade rollback: it loses nothing"),
        "{next}"
    );
    let doctor = host.stack.deployment.ops(&["doctor", "upgrade"]).exits(10);
    assert_eq!(
        of(&doctor, "findings", "upgrade.regressed")["evidence"],
        worse["evidence"]
    );
    host.upgrade(&["rollback"]).exits(0);
    assert!(!ids(&host.watch(), "findings").contains(&"upgrade.regressed".to_owned()));

    // one that migrated takes with it what was written since
    host.publish(migration::MIGRATES);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let seen = host.watch();
    let schema = of(&seen, "changes", "changed.schema");
    assert_eq!(schema["severity"], "info");
    host.writes(&token, "after");
    for _ in 0..4 {
        host.restarts();
        host.watch();
    }
    let worse = of(&host.watch(), "findings", "upgrade.regressed").clone();
    let next = worse["next"].as_str().unwrap();
    assert!(next.contains("upgrade rollback --with-data"), "{next}");
    assert!(next.contains("acts of the audit log since"), "{next}");
}

//! A server that does not answer while its container runs.

use super::host::defer_max_passes;
use super::migration::MIGRATES;
use super::{Host, entrypoint};
use crate::stack::until;

impl Host {
    /// The control socket is dead; callers are served as ever.
    fn deafen(&self) {
        std::fs::remove_file(self.stack.project.path().join("data/run/agnesd.sock")).unwrap();
    }

    /// A tick waits, and one that comes after `defer_max` does not.
    #[track_caller]
    fn tick_after_waiting(&self) -> agnes_e2e::deployment::Ran {
        let app = self.stack.project.container("app").unwrap();
        let waits = self.upgrade(&[]).exits(75).with_outcome("deferred");
        assert_eq!(waits.detail("reason"), "server-unreachable");
        assert_eq!(self.stack.project.container("app").unwrap(), app);
        defer_max_passes();
        self.upgrade(&[])
    }
}

#[test]
fn u10_a_server_that_says_nothing_is_waited_for_and_then_done_without() {
    let Some(host) = Host::up("defer_max = \"1s\"") else {
        return;
    };
    let token = host.sign_in();
    host.upgrade(&[]).exits(0);
    host.writes(&token, "before");
    let second = host.publish("LABEL version=2");
    host.deafen();
    host.writes(&token, "unasked");
    let done = host.tick_after_waiting().exits(0).with_outcome("changed");
    assert_eq!(done.detail("to.digest"), second.as_str());
    host.runs(&second);
    let history = host.upgrade(&["history"]).exits(0);
    let proof = &history.detail("upgrades")[0];
    assert_eq!(proof["sick"], true);
    // made when it was stopped, by its own program
    assert_eq!(proof["snapshot"]["made_by"], "export");

    // a version that migrates, would take writes if it were not held, and is gone
    let dies = entrypoint("/usr/lib/agnes/agnesd serve & sleep 2; kill -9 $!; exit 1");
    host.publish(&format!("{MIGRATES}\n{dies}"));
    host.deafen();
    host.writes(&token, "after");
    let failed = host.writing(&token, "sick", || host.tick_after_waiting());
    let failed = failed.exits(1);
    assert_eq!(failed.json["outcome"], "rolled-back", "{}", failed.stdout);
    host.runs(&second);

    // a person who goes back has seen it
    host.deafen();
    let back = host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
    assert_eq!(back.detail("to.digest"), host.first.as_str());
    host.runs(&host.first);
    for name in ["before", "unasked", "after"] {
        assert!(host.has(&token, name), "lost {name}");
    }
}

#[test]
fn u08_a_version_that_crashes_again_and_again_is_cured_by_the_next_one_and_loses_nothing() {
    let Some(host) = Host::up("defer_max = \"1h\"") else {
        return;
    };
    let token = host.sign_in();
    let crashes = "[ ! -e /data/state/crash ] || exit 3; exec /usr/lib/agnes/agnesd serve";
    host.publish(&entrypoint(crashes));
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.writes(&token, "before");
    std::fs::write(host.stack.deployment.state().join("crash"), "").unwrap();
    let app = host.stack.project.container("app").unwrap();
    let said = |format: &str| {
        let inspect = ["inspect", "--format", format, &app];
        let said = xtask::command::capture(&mut host.stack.docker.command(inspect));
        said.unwrap().trim().to_owned()
    };
    let pid = nix::unistd::Pid::from_raw(said("{{.State.Pid}}").parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the engine starts it again and again", || {
        said("{{.State.Restarting}}") == "true"
    });
    // the image that runs is the one that is wanted: there is no cure yet
    host.upgrade(&["check"]).exits(0);
    let cure = host.publish("LABEL version=cure");
    until("it is between two crashes", || {
        said("{{.State.Restarting}}") == "true"
    });
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&cure);
    assert!(host.has(&token, "before"));
}

#[test]
fn u12_what_was_changed_under_a_server_that_says_nothing_is_applied_after_waiting() {
    let Some(host) = Host::up("defer_max = \"1s\"") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    host.append(".env", "LOG_LEVEL=debug\n");
    let app = host.stack.project.container("app").unwrap();
    host.deafen();
    host.tick_after_waiting().exits(0).with_outcome("changed");
    assert_ne!(host.stack.project.container("app").unwrap(), app);
    host.runs_first();
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
}

/// It has to be killed, its log is not folded in, and the next version migrates.
#[test]
fn s05_a_server_that_hangs_leaves_its_log_to_its_own_version() {
    let Some(host) = Host::up("defer_max = \"1s\"") else {
        return;
    };
    let token = host.sign_in();
    host.upgrade(&[]).exits(0);
    let schema = host.state()["schema"].as_i64().unwrap();
    let next = host.publish(MIGRATES);
    for number in 0..20 {
        host.writes(&token, &format!("hangs_{number}"));
    }
    let pid: i32 = host.stack.app("{{.State.Pid}}").parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let log = host.stack.deployment.state().join("system.duckdb.wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    let done = host.tick_after_waiting().exits(0).with_outcome("changed");
    assert_eq!(done.detail("migrates"), true);
    host.runs(&next);
    assert_eq!(host.state()["schema"].as_i64(), Some(schema + 1));
    for number in 0..20 {
        assert!(host.has(&token, &format!("hangs_{number}")), "{number}");
    }
}

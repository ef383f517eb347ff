//! U11: the host's files come with the version, are rendered by its own program, and go back with it.

use agnes_e2e::deployment::agnes_ops;

use super::upgrade::{Host, entrypoint};

const COPY: &str = "COPY agnes-ops /usr/share/agnes/host/agnes-ops";

/// An `agnes-ops` that says which version it is before it does its work, or refuses.
fn program(version: &str, refuses: bool) -> String {
    let then = match refuses {
        true => "echo '{\"details\":{\"message\":\"it cannot\"}}'; exit 1".to_owned(),
        false => format!("exec {} \"$@\"", agnes_ops().display()),
    };
    format!("#!/bin/sh\necho {version} >> $2/rendered-by\n{then}\n")
}

impl Host {
    fn current(&self) -> Option<String> {
        let link = std::fs::read_link(self.stack.deployment.dir().join("current")).ok()?;
        Some(link.to_str().unwrap().to_owned())
    }

    fn rendered_by(&self) -> Vec<String> {
        let path = self.stack.deployment.dir().join("rendered-by");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn short(digest: &str) -> Option<String> {
    Some(digest.get(7..19).unwrap().to_owned())
}

#[test]
fn u11_the_host_s_files_are_those_of_the_version_that_runs() {
    let Some(host) = Host::up("") else { return };
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    assert_eq!(host.current(), None);
    let second = host.publish_with(COPY, &program("2", false));
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&second);
    assert_eq!(host.current(), short(&second));
    assert_eq!(host.rendered_by(), ["2"]);
    let files = host.stack.deployment.dir().join("current");
    for name in ["docker-compose.yml", "caddy/Caddyfile", "agnes-ops"] {
        assert!(files.join(name).is_file(), "{name}");
    }
    host.upgrade(&[]).exits(0).with_outcome("unchanged");

    // one whose program refuses never starts
    host.publish_with(COPY, &program("3", true));
    let ran = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(ran.detail("failed_step"), "host-files", "{}", ran.stdout);
    assert!(ran.stdout.contains("it cannot"), "{}", ran.stdout);
    host.runs(&second);
    assert_eq!(host.current(), short(&second));

    // one that crashes takes its files along
    let crash = format!("{COPY}\n{}", entrypoint("exit 3"));
    host.publish_with(&crash, &program("4", false));
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    host.runs(&second);
    assert_eq!(host.current(), short(&second));
    assert_eq!(host.rendered_by().last().map(String::as_str), Some("4"));

    // and a person's way back has those of the version that it goes to
    host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
    assert_eq!(host.current(), short(&host.first));
    host.runs_first();
}

#[test]
fn b02_an_upgrade_touches_nothing_when_the_state_is_on_another_disk() {
    let Some(host) = Host::up("") else { return };
    let toml = host.stack.deployment.dir().join("agnes.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(
        &toml,
        format!("{text}[host]\ndata_device = \"/dev/null\"\n"),
    )
    .unwrap();
    host.publish("LABEL version=2");
    let ran = host.upgrade(&[]).exits(1).with_outcome("unchanged");
    assert_eq!(ran.detail("reason"), "state-disk", "{}", ran.stdout);
    host.runs_first();
    assert_eq!(host.stack.project.container("app").unwrap(), host.stack.app);
}

//! What goes wrong around an upgrade, and what operators do meanwhile.

use agnes_e2e::registry::{Access, Registry};
use serde_json::Value;
use xtask::command;

use super::{Host, entrypoint, push};
use crate::stack::until;

/// Of the layer that has to be pulled.
const LAYER: usize = 1 << 20;

impl Host {
    /// Publishes a version that is not on this host.
    fn publish_elsewhere(&self) -> String {
        let name = format!("{}:stable", self.repository);
        let docker = self.stack.docker;
        docker
            .publish_with_layer("agnes-test/agnes:test", &name, LAYER)
            .unwrap()
    }

    fn setting(&self, name: &str, more: &str) {
        let path = self.stack.deployment.dir().join("agnes.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with(name))
            .map(|line| format!("{line}\n"))
            .collect();
        let text = match name {
            "probes" => format!("{text}{more}\n"),
            _ => text.replacen("[upgrade]\n", &format!("[upgrade]\n{more}\n"), 1),
        };
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn u04_a_pull_that_is_cut_off_or_corrupt_touches_nothing() {
    let Some(registry) = Registry::behind_a_network(Access::Open) else {
        return;
    };
    let Some(host) = Host::of(registry, "") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let app = host.stack.app.clone();
    let untouched = |failed: &agnes_e2e::deployment::Ran| {
        assert_eq!(failed.detail("reason"), "pull-failed", "{}", failed.stdout);
        assert_eq!(failed.json["outcome"], "unchanged");
        // the version is not to blame
        assert_eq!(failed.detail("ledger").as_array().map(Vec::len), Some(0));
        assert_eq!(host.stack.project.container("app").unwrap(), app);
        host.clean();
        host.stack.answers(200);
    };
    let corrupt = host.publish_elsewhere();
    let manifest = std::fs::read(host.registry.blob(&corrupt)).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest["layers"].as_array().unwrap().last().unwrap();
    assert!(layer["size"].as_u64().unwrap() >= LAYER as u64, "{layer}");
    let blob = host.registry.blob(layer["digest"].as_str().unwrap());
    let sound = std::fs::read(&blob).unwrap();
    let mut bytes = sound.clone();
    bytes[LAYER / 2] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    untouched(&host.upgrade(&[]).exits(1));

    // gone, after the manifest and half of the layer
    std::fs::write(&blob, sound).unwrap();
    host.registry.cut_after(Some(LAYER / 2));
    untouched(&host.upgrade(&[]).exits(1));
    host.registry.cut_after(None);
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&corrupt);
}

/// Ready, and a second later nothing but HTTP 500 to its callers, while its control socket answers as ever.
const SERVES_AND_THEN_500: &str = "\
export AGNES_LISTEN=127.0.0.1:8001; \
/usr/lib/agnes/agnesd serve & SERVER=$!; \
(until /usr/lib/agnes/agnesd health; do sleep 0.1; done; sleep 1; echo > /data/state/answers-500) & \
/bin/busybox nc -ll -p 8000 -e /bin/busybox sh -c ' \
if [ ! -e /data/state/answers-500 ]; then exec /bin/busybox nc 127.0.0.1 8001; fi; \
while read -r line && [ ${#line} -gt 1 ]; do :; done; \
printf \"HTTP/1.1 500 Internal Server Error\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n\"' & \
trap 'kill $SERVER; wait $SERVER; exit 0' TERM; wait; wait";

#[test]
fn u05_a_version_that_serves_and_then_answers_500_is_taken_back() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    host.publish(&entrypoint(SERVES_AND_THEN_500));
    host.writes(&token, "before");
    let failed = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(failed.detail("failed_step"), "gate", "{}", failed.stdout);
    let why = failed.detail("message").as_str().unwrap();
    assert!(why.contains("health check"), "{why}");
    host.runs(&host.first);
    host.stack.answers(200);
    assert!(host.has(&token, "before"));
}

#[test]
fn u06_when_both_versions_are_bad_a_person_is_called_and_every_tick_tries_the_way_back() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let token = host.sign_in();
    let bad = host.publish(&entrypoint("exit 3"));
    // the old version does not have this page either
    host.setting("probes", "probes = [\"/no/such/page\"]");
    for _ in 0..2 {
        let both = host.upgrade(&[]).exits(100).with_outcome("degraded");
        assert_eq!(both.detail("reason"), "way-back-failed");
        let journal = host
            .stack
            .deployment
            .state()
            .join("ops/journal/upgrade.json");
        assert!(journal.exists());
        // what is put back is the old one, again and again
        let app = host.stack.project.container("app").unwrap();
        let format = ["inspect", "--format", "{{.Config.Image}}", &app];
        let said = command::capture(&mut host.stack.docker.command(format)).unwrap();
        assert!(said.trim().ends_with(&host.first), "{said}");
    }
    host.setting("probes", "");
    let back = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(back.detail("ledger")[0]["digest"], bad.as_str());
    host.runs(&host.first);
    let (status, _) = host
        .stack
        .post(
            "/api/groups",
            Some(&token),
            &serde_json::json!({"name": "after"}),
        )
        .unwrap();
    assert_eq!(status, 201);
    assert_eq!(host.upgrade(&[]).exits(0).detail("reason"), "in-ledger");
}

#[test]
fn u09_two_ticks_at_once_are_one_upgrade_and_a_stopped_server_stays_stopped() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let second = host.publish("LABEL version=2");
    // an operator's own `docker stop`
    let app = host.stack.app.clone();
    command::capture(&mut host.stack.docker.command(["stop", &app])).unwrap();
    for verb in [&[][..], &["--to", &second]] {
        let stopped = host.upgrade(verb).exits(75).with_outcome("deferred");
        assert_eq!(stopped.detail("reason"), "app-stopped");
        assert_eq!(host.stack.app("{{.State.Running}}"), "false");
    }
    let status = host.stack.deployment.ops(&["status"]).exits(10);
    let down = |finding: &Value| finding["id"] == "stack.down";
    let findings = status.detail("findings").as_array().unwrap();
    assert!(findings.iter().any(down), "{}", status.stdout);
    command::capture(&mut host.stack.docker.command(["start", &app])).unwrap();
    host.stack.becomes("healthy");

    let journal = host
        .stack
        .deployment
        .state()
        .join("ops/journal/upgrade.json");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| host.upgrade(&[]));
        until("the first tick is at work", || journal.exists());
        let other = host.upgrade(&[]).exits(75);
        assert_eq!(other.detail("reason"), "lock-held");
        first.join().unwrap().exits(0).with_outcome("changed");
    });
    host.runs(&second);
    host.upgrade(&[]).exits(0).with_outcome("unchanged");
    let history = host.upgrade(&["history"]).exits(0);
    assert_eq!(history.detail("upgrades").as_array().map(Vec::len), Some(1));
}

#[test]
fn u15_another_image_name_and_a_pinned_digest_are_followed() {
    let Some(mut host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    // a mirror under another name; its first version is bad, and what comes back is of the name before
    let mirror = format!("{}/mirror/of-agnes", host.registry.host());
    let name = format!("{mirror}:stable");
    let publish = |lines: &str| push(host.stack.docker, "agnes-test/agnes:test", &name, lines);
    let bad = publish(&entrypoint("exit 3"));
    host.stack.deployment.set("AGNES_IMAGE", mirror.clone());
    let failed = host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    assert_eq!(
        failed.detail("to.digest"),
        bad.as_str(),
        "{}",
        failed.stdout
    );
    host.clean();
    host.stack.answers(200);
    let good = push(
        host.stack.docker,
        "agnes-test/agnes:test",
        &name,
        "LABEL version=2",
    );
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.repository = mirror;
    host.runs(&good);

    // a digest for ever, whatever the tag points to
    let next = host.publish("LABEL version=3");
    host.setting("digest", &format!("digest = \"{good}\""));
    host.upgrade(&[]).exits(0);
    host.runs(&good);
    host.setting("digest", &format!("digest = \"{next}\""));
    host.upgrade(&[]).exits(0).with_outcome("changed");
    host.runs(&next);
    host.publish("LABEL version=4");
    let pinned = host.upgrade(&[]).exits(0);
    assert_eq!(pinned.detail("to.digest"), next.as_str());
    host.runs(&next);
}

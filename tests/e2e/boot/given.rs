//! The configuration that came with a machine, and the tree that a boot is told to keep to.

use std::path::PathBuf;

use agnes_e2e::deployment::{Deployment, Ran, agnes_ops, run, snapshot};
use serde_json::{Value, json};

use crate::crash::{chosen, killed_at};

/// A tree for a host without Docker.
struct Tree {
    deployment: Deployment,
}

impl Tree {
    fn new() -> Self {
        Self {
            deployment: Deployment::new().with("AGNES_RUNTIME", "process"),
        }
    }

    fn verb<'a>(&'a self, more: &[&'a str]) -> Vec<String> {
        let dir = self.deployment.dir();
        let config = dir.join("boot.json").display().to_string();
        let root = dir.display().to_string();
        let verb = ["boot", "--root", &root, "--config", &config];
        verb.iter()
            .chain(more)
            .map(|&word| word.to_owned())
            .collect()
    }

    fn given(&self, env: Value, settings: Value) {
        let document = json!({"version": 1, "env": env, "settings": settings});
        std::fs::write(
            self.deployment.dir().join("boot.json"),
            document.to_string(),
        )
        .unwrap();
    }

    fn boot(&self, more: &[&str]) -> Ran {
        let verb = self.verb(more);
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        self.deployment.ops(&verb)
    }

    fn killed_at(&self, number: u64) -> Option<()> {
        let verb = self.verb(&[]);
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        killed_at(&self.deployment, &verb, number)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.deployment.dir().join(name)).unwrap()
    }
}

fn said<'a>(ran: &'a Ran, step: &str) -> &'a str {
    ran.json["details"]["said"][step].as_str().unwrap()
}

#[test]
fn b06_values_that_a_killed_boot_has_written_are_not_taken_for_a_persons() {
    // the configuration is written at the first of all checkpoints
    for number in chosen(40) {
        let tree = Tree::new();
        tree.given(
            json!({"AGNES_TAG": "1.0", "SEED_ADMIN_EMAIL": "a@example.com"}),
            json!({"upgrade": {"mode": "manual"}}),
        );
        if number % 2 == 0 {
            tree.boot(&[]).exits(0);
            tree.given(
                json!({"AGNES_TAG": "1.1", "DOMAIN_ALIAS": "b.example.com"}),
                json!({"upgrade": {"mode": "auto"}}),
            );
        }
        if tree.killed_at(number).is_none() {
            continue;
        }
        tree.given(
            json!({"AGNES_TAG": "1.2", "DOMAIN_ALIAS": "c.example.com"}),
            json!({"upgrade": {"mode": "off"}}),
        );
        let next = tree.boot(&[]).exits(0);
        let said = said(&next, "configuration");
        assert!(!said.contains("person"), "checkpoint {number}: {said}");
        let env = tree.read(".env");
        assert!(
            env.contains("1.2") && env.contains("c.example.com") && !env.contains("SEED"),
            "checkpoint {number}: {env}"
        );
        assert!(tree.read("agnes.toml").contains("off"));
        tree.boot(&[]).exits(0).with_outcome("unchanged");
    }
}

#[test]
fn b08_a_dry_run_plans_with_what_was_given_and_not_with_what_is_there() {
    let tree = Tree::new();
    tree.given(
        json!({"SEED_ADMIN_EMAIL": "given@example.com"}),
        json!({"data_dir": "elsewhere"}),
    );
    let before = snapshot(tree.deployment.dir());
    let planned = tree.boot(&["--dry-run"]).exits(0).with_outcome("unchanged");
    assert_eq!(snapshot(tree.deployment.dir()), before);
    assert!(said(&planned, "admin").contains("given@example.com"));
    for step in planned.json["steps"].as_array().unwrap() {
        // what would change says so
        let name = step["name"].as_str().unwrap();
        let result = step["result"].as_str().unwrap();
        if ["configuration", "units", "directories", "secrets"].contains(&name) {
            assert_eq!(result, "planned", "{name}: {}", planned.stdout);
        }
    }
}

#[test]
fn b08_what_is_wrong_with_what_is_there_is_told_before_anything_is_written() {
    let tree = Tree::new();
    tree.boot(&[]).exits(78); // there is no document
    tree.given(json!({"AGNES_TAG": "1.0"}), json!({}));
    let drop_ins = tree.deployment.dir().join("agnes.toml.d");
    std::fs::create_dir(&drop_ins).unwrap();
    std::fs::write(drop_ins.join("10-mine.toml"), "nonsense = 1\n").unwrap();
    let before = snapshot(tree.deployment.dir());
    let refused = tree.boot(&[]).exits(78);
    assert!(
        refused.stdout.contains("10-mine.toml"),
        "{}",
        refused.stdout
    );
    // a run was here, and that is all
    std::fs::remove_file(tree.deployment.dir().join(".lock")).unwrap();
    assert_eq!(snapshot(tree.deployment.dir()), before);
}

#[test]
fn b06_nothing_of_the_host_is_touched_for_a_tree_however_it_is_named() {
    let tree = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    let theirs = host.path().join("agnes");
    std::fs::create_dir(&theirs).unwrap();
    let mut command = std::process::Command::new(agnes_ops());
    command
        .args(["boot", "--root", "tree", "--json"])
        .current_dir(tree.path())
        .env("AGNES_DIR", &theirs)
        .env("AGNES_RUNTIME", "process")
        .env("DOMAIN", "agnes.example.com");
    run(command).exits(0).with_outcome("changed");
    assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 0);
    let below: PathBuf = tree
        .path()
        .join("tree")
        .join(theirs.strip_prefix("/").unwrap());
    assert!(below.join(".lock").exists(), "{}", below.display());
    assert!(
        tree.path()
            .join("tree/data/state/ops/status/boot.json")
            .exists()
    );
}

#[test]
fn b02_the_record_of_a_tree_without_its_disk_is_in_the_tree() {
    let tree = Tree::new();
    tree.given(
        json!({}),
        json!({"host": {"data_device": "/dev/disk/by-id/absent"}}),
    );
    tree.boot(&[]).exits(1);
    let record = tree.read("run/agnes/status/boot.json");
    assert!(record.contains("disk-missing"), "{record}");
}

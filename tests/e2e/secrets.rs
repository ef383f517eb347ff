//! `agnes-ops secrets` on a host of its own: what is made, kept, fetched, told and refused.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agnes_e2e::deployment::{Deployment, Ran, snapshot};
use agnes_e2e::secret_manager::{Mode, SecretManager};

use crate::crash::{checkpoints, chosen, killed_at};

mod check;
mod disk;
mod representable;

const OWN: [&str; 3] = ["JWT_SECRET_KEY", "SCHEDULER_API_TOKEN", "SESSION_SECRET"];
const EDITED: &str = "b7f1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f";

fn host() -> Deployment {
    Deployment::new().with("AGNES_RUNTIME", "process")
}

fn env_path(deployment: &Deployment) -> PathBuf {
    deployment.dir().join(".env")
}

fn env_text(deployment: &Deployment) -> String {
    std::fs::read_to_string(env_path(deployment)).unwrap()
}

/// The value of a key that is written plainly.
fn value(deployment: &Deployment, name: &str) -> Option<String> {
    let text = env_text(deployment);
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(&format!("{name}=")));
    line.map(|value| value.trim_matches('\'').to_owned())
}

fn secret_dir(deployment: &Deployment, name: &str) -> PathBuf {
    deployment.state().join("secrets").join(name)
}

/// The generation that counts: its number, and its value.
fn current(deployment: &Deployment, name: &str) -> (String, String) {
    let directory = secret_dir(deployment, name);
    let number = std::fs::read_link(directory.join("current")).unwrap();
    let value = std::fs::read_to_string(directory.join(&number)).unwrap();
    (number.display().to_string(), value)
}

fn live(deployment: &Deployment, name: &str) -> String {
    std::fs::read_to_string(deployment.state().join("secrets/live").join(name)).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn ensure(deployment: &Deployment) -> Ran {
    deployment.ops(&["secrets", "ensure"])
}

fn replace(deployment: &Deployment, name: &str, value: &str) {
    let text: String = env_text(deployment)
        .lines()
        .map(|line| match line.strip_prefix(&format!("{name}=")) {
            Some(_) => format!("{name}={value}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    std::fs::write(env_path(deployment), text).unwrap();
}

#[track_caller]
fn all_agree(deployment: &Deployment) {
    for name in OWN {
        let (_, kept) = current(deployment, name);
        assert_eq!(value(deployment, name).unwrap(), kept, "{name}");
        assert_eq!(live(deployment, name), kept, "{name}");
    }
}

/// Mode, time of the last change and bytes of every file.
type Tree = BTreeMap<PathBuf, (u32, i128, Vec<u8>)>;

/// Everything below the deployment but the records of runs and their lock.
fn tree(deployment: &Deployment) -> Tree {
    let records = deployment.state().join("ops");
    let mut tree = snapshot(deployment.dir());
    tree.retain(|path, _| {
        !path.starts_with(&records) && !path.ends_with(".lock") && !path.is_dir()
    });
    tree
}

#[test]
fn what_is_missing_is_made_and_a_second_run_touches_nothing() {
    let deployment = host();
    let made = ensure(&deployment).exits(0).with_outcome("changed");
    let mut seen = Vec::new();
    for name in OWN {
        let (number, kept) = current(&deployment, name);
        assert_eq!(number, "1");
        assert_eq!(kept.len(), 64);
        assert!(
            kept.bytes().all(|b| b"0123456789abcdef".contains(&b)),
            "{name}"
        );
        assert_eq!(mode(&secret_dir(&deployment, name).join("1")), 0o600);
        assert_eq!(mode(&secret_dir(&deployment, name)), 0o700);
        assert_eq!(
            mode(&deployment.state().join("secrets/live").join(name)),
            0o400
        );
        assert!(!made.stdout.contains(&kept) && !made.stderr.contains(&kept));
        seen.push(kept);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "each is a secret of its own");
    all_agree(&deployment);
    assert_eq!(mode(&env_path(&deployment)), 0o600);
    let before = tree(&deployment);
    let again = ensure(&deployment).exits(0).with_outcome("unchanged");
    assert_eq!(again.json["steps"], serde_json::json!([]));
    assert_eq!(tree(&deployment), before);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let deployment = host();
    let before = tree(&deployment);
    let ran = deployment.ops(&["secrets", "ensure", "--dry-run"]).exits(0);
    assert_eq!(ran.json["outcome"], "unchanged");
    assert!(
        ran.json["steps"].as_array().unwrap().len() >= 4,
        "{}",
        ran.stdout
    );
    assert_eq!(tree(&deployment), before);
}

#[test]
fn b04_an_operators_keys_comments_order_and_line_ends_stay() {
    let deployment = host();
    let own = env_text(&deployment);
    let theirs = format!(
        "# ours; $(touch /tmp/never)\r\nZED=1\r\nexport POSTGRES_PASSWORD=\"a'b#c\"\r\nQ='$x `y`'\r\n{}",
        own.replace('\n', "\r\n")
    );
    std::fs::write(env_path(&deployment), &theirs).unwrap();
    ensure(&deployment).exits(0);
    let after = env_text(&deployment);
    assert!(after.starts_with(&theirs), "{after}");
    assert!(after[theirs.len()..].lines().count() >= 3);
    assert!(!after.replace("\r\n", "").contains('\n'));
}

#[test]
fn a_missing_or_empty_value_is_restored_and_a_persons_edit_is_adopted_out_loud() {
    let deployment = host();
    ensure(&deployment).exits(0);
    let (_, jwt) = current(&deployment, "JWT_SECRET_KEY");
    for broken in ["", "short", "changeme-changeme-changeme-changeme"] {
        replace(&deployment, "JWT_SECRET_KEY", broken);
        ensure(&deployment).exits(0).with_outcome("changed");
        assert_eq!(
            value(&deployment, "JWT_SECRET_KEY").unwrap(),
            jwt,
            "{broken:?}"
        );
        assert_eq!(current(&deployment, "JWT_SECRET_KEY").0, "1");
    }
    std::fs::remove_file(env_path(&deployment)).unwrap();
    let deployment = deployment.with("AGNES_RUNTIME", "process");
    ensure(&deployment).exits(0);
    assert_eq!(value(&deployment, "JWT_SECRET_KEY").unwrap(), jwt);

    replace(&deployment, "JWT_SECRET_KEY", EDITED);
    let adopted = ensure(&deployment).exits(0).with_outcome("changed");
    assert!(
        adopted.stderr.contains("a person's edit"),
        "{}",
        adopted.stderr
    );
    assert!(!adopted.stderr.contains(EDITED));
    assert_eq!(
        current(&deployment, "JWT_SECRET_KEY"),
        ("2".to_owned(), EDITED.to_owned())
    );
    all_agree(&deployment);
    // an old .env comes back, and with it a key that was given up
    replace(&deployment, "JWT_SECRET_KEY", &jwt);
    let restored = ensure(&deployment).exits(0);
    assert!(
        restored.stderr.contains("generation 1, which was replaced"),
        "{}",
        restored.stderr
    );
    assert_eq!(value(&deployment, "JWT_SECRET_KEY").unwrap(), EDITED);
}

#[test]
fn a_damaged_durable_copy_stops_everything_unless_the_env_file_has_a_value_that_works() {
    for damage in ["empty", "short", "link", "gone"] {
        let deployment = host();
        ensure(&deployment).exits(0);
        let directory = secret_dir(&deployment, "JWT_SECRET_KEY");
        let generation = directory.join("1");
        match damage {
            "empty" => std::fs::write(&generation, "").unwrap(),
            "short" => std::fs::write(&generation, "short").unwrap(),
            "gone" => std::fs::remove_file(&generation).unwrap(),
            _ => {
                std::fs::remove_file(directory.join("current")).unwrap();
                std::os::unix::fs::symlink("../../etc/passwd", directory.join("current")).unwrap();
            }
        }
        let good = value(&deployment, "JWT_SECRET_KEY").unwrap();
        // SESSION_SECRET would have to be made anew
        std::fs::remove_dir_all(secret_dir(&deployment, "SESSION_SECRET")).unwrap();
        replace(&deployment, "SESSION_SECRET", "");
        replace(&deployment, "JWT_SECRET_KEY", "");
        let before = tree(&deployment);
        let refused = ensure(&deployment).exits(1).with_outcome("unchanged");
        assert_eq!(refused.detail("reason"), "durable-copy-damaged", "{damage}");
        assert_eq!(tree(&deployment), before, "{damage}: nothing minted");

        replace(&deployment, "JWT_SECRET_KEY", &good);
        ensure(&deployment).exits(0);
        assert_eq!(current(&deployment, "JWT_SECRET_KEY").1, good, "{damage}");
        all_agree(&deployment);
    }
}

#[test]
fn a_link_that_a_killed_run_did_not_make_is_made() {
    let deployment = host();
    ensure(&deployment).exits(0);
    let (_, jwt) = current(&deployment, "JWT_SECRET_KEY");
    std::fs::remove_file(secret_dir(&deployment, "JWT_SECRET_KEY").join("current")).unwrap();
    ensure(&deployment).exits(0);
    assert_eq!(
        current(&deployment, "JWT_SECRET_KEY"),
        ("1".to_owned(), jwt)
    );
}

/// A host whose data source's token is in a secret manager.
fn fetching(manager: &SecretManager, toml: &str) -> Deployment {
    let mut deployment = host().toml(toml);
    deployment.set("AGNES_SM_ENDPOINT", manager.endpoint());
    deployment.set("GOOGLE_CLOUD_PROJECT", "example-project");
    deployment
}

const TOKEN_TABLE: &str = "[secrets.DATA_SOURCE_TOKEN]\nsource = \"sm://agnes-data-source\"\n";

#[test]
fn b07_a_failed_or_empty_fetch_keeps_the_last_good_value_and_is_counted() {
    let manager = SecretManager::start();
    manager.add("example-project", "agnes-data-source", "first value #1\n");
    let deployment = fetching(&manager, TOKEN_TABLE);
    ensure(&deployment).exits(0);
    let kept = |wanted: &str| {
        assert_eq!(current(&deployment, "DATA_SOURCE_TOKEN").1, wanted);
        assert_eq!(live(&deployment, "DATA_SOURCE_TOKEN"), wanted);
        assert_eq!(value(&deployment, "DATA_SOURCE_TOKEN").unwrap(), wanted);
    };
    kept("first value #1");
    for (count, mode) in (1..).zip([Mode::Forbidden, Mode::Disabled, Mode::WrongChecksum]) {
        manager.set(mode);
        let ran = ensure(&deployment).exits(0).with_outcome("unchanged");
        let secrets = ran.detail("secrets").as_array().unwrap().clone();
        let token = secrets
            .iter()
            .find(|s| s["name"] == "DATA_SOURCE_TOKEN")
            .unwrap();
        assert_eq!(token["failures"], count, "{mode:?}: {token}");
        assert!(
            ran.stderr.contains("the last good value stays"),
            "{}",
            ran.stderr
        );
        kept("first value #1");
    }
    manager.set(Mode::Ok);
    manager.add("example-project", "agnes-data-source", "");
    ensure(&deployment).exits(0).with_outcome("unchanged");
    kept("first value #1");
    manager.add("example-project", "agnes-data-source", "second");
    ensure(&deployment).exits(0).with_outcome("changed");
    kept("second");
}

#[test]
fn b07_required_and_never_fetched_is_a_failure_and_the_others_are_made_all_the_same() {
    let manager = SecretManager::start();
    manager.set(Mode::Forbidden);
    let deployment = fetching(&manager, TOKEN_TABLE);
    let ran = ensure(&deployment).exits(1);
    assert_eq!(ran.detail("reason"), "required-missing");
    assert!(ran.stderr.contains("DATA_SOURCE_TOKEN"), "{}", ran.stderr);
    all_agree(&deployment);
    assert_eq!(value(&deployment, "DATA_SOURCE_TOKEN"), None);

    let optional = fetching(&manager, &format!("{TOKEN_TABLE}required = false\n"));
    ensure(&optional).exits(0);
}

#[test]
fn b10_a_reference_in_the_env_file_is_resolved_and_kept_as_one() {
    let manager = SecretManager::start();
    manager.add("example-project", "agnes-token", "resolved");
    let mut deployment = fetching(&manager, "");
    deployment.set("DATA_SOURCE_TOKEN", "sm://agnes-token");
    ensure(&deployment).exits(0);
    assert_eq!(value(&deployment, "DATA_SOURCE_TOKEN").unwrap(), "resolved");
    let drop_in = deployment
        .dir()
        .join("agnes.toml.d/50-secret-data_source_token.toml");
    assert!(
        std::fs::read_to_string(drop_in)
            .unwrap()
            .contains("sm://agnes-token")
    );
    manager.add("example-project", "agnes-token", "newer");
    ensure(&deployment).exits(0).with_outcome("changed");
    assert_eq!(value(&deployment, "DATA_SOURCE_TOKEN").unwrap(), "newer");
    ensure(&deployment).exits(0).with_outcome("unchanged");
}

#[test]
fn what_no_env_file_can_carry_is_refused_before_anything_is_touched() {
    let manager = SecretManager::start();
    manager.add("example-project", "agnes-data-source", &b"a\0b"[..]);
    let deployment = fetching(&manager, &format!("{TOKEN_TABLE}required = false\n"));
    let ran = ensure(&deployment).exits(0);
    assert!(ran.stderr.contains("NUL"), "{}", ran.stderr);
    assert_eq!(value(&deployment, "DATA_SOURCE_TOKEN"), None);
}

#[test]
fn killed_at_every_checkpoint_the_next_run_finishes() {
    let verb = ["secrets", "ensure"];
    // nothing there; and a person's edit among what is there
    let fresh = host as fn() -> Deployment;
    let edited = || {
        let deployment = host();
        ensure(&deployment).exits(0);
        replace(&deployment, "JWT_SECRET_KEY", EDITED);
        deployment
    };
    for (name, scene) in [("fresh", fresh), ("edited", edited)] {
        let count = checkpoints(&scene(), &verb);
        for number in chosen(count) {
            let deployment = scene();
            let before = name == "edited";
            killed_at(&deployment, &verb, number);
            ensure(&deployment).exits(0);
            all_agree(&deployment);
            if before {
                assert_eq!(
                    value(&deployment, "JWT_SECRET_KEY").unwrap(),
                    EDITED,
                    "{number}"
                );
                assert_eq!(current(&deployment, "JWT_SECRET_KEY").0, "2", "{number}");
            }
            ensure(&deployment).exits(0).with_outcome("unchanged");
            let left: Vec<_> = tree(&deployment)
                .into_keys()
                .filter(|path| path.to_string_lossy().contains("agnes-tmp"))
                .collect();
            assert!(left.is_empty(), "{number}: {left:?}");
        }
    }
}

#[test]
fn a_disk_that_refuses_leaves_the_old_file_intact() {
    let traced = std::process::Command::new("strace").arg("-V").output();
    assert!(
        traced.is_ok_and(|ran| ran.status.success()),
        "strace is not installed: cargo xtask components"
    );
    // a full disk may say so only when what was written is to reach it
    for fault in [
        "fsync:error=ENOSPC:when=1+",
        "fsync:error=EIO:when=2+",
        "rename:error=EIO:when=1",
        "rename:error=ENOSPC:when=2+",
        "linkat:error=ENOSPC",
    ] {
        let deployment = host();
        ensure(&deployment).exits(0);
        replace(&deployment, "JWT_SECRET_KEY", EDITED);
        let before = std::fs::read(env_path(&deployment)).unwrap();
        let (number, kept) = current(&deployment, "JWT_SECRET_KEY");
        let inner = deployment.command(&["secrets", "ensure", "--json"]);
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
        command.arg(format!("inject={fault}"));
        command
            .arg(inner.get_program())
            .args(inner.get_args())
            .env_clear();
        for (key, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        let ran = agnes_e2e::deployment::run(command);
        assert_eq!(ran.code, 1, "{fault}: {}", ran.stderr);
        let after = std::fs::read(env_path(&deployment)).unwrap();
        let changed = after != before;
        assert!(
            !changed || value(&deployment, "JWT_SECRET_KEY").unwrap() == EDITED,
            "{fault}"
        );
        let now = current(&deployment, "JWT_SECRET_KEY");
        assert!(now == (number, kept) || now.1 == EDITED, "{fault}");
        ensure(&deployment).exits(0);
        all_agree(&deployment);
        assert_eq!(current(&deployment, "JWT_SECRET_KEY").1, EDITED, "{fault}");
    }
}

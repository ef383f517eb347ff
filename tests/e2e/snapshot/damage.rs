//! S08: every kind of damage to a snapshot is found, each by its own reason, and nothing is found in a good one.

use std::path::Path;

use agnes_e2e::components::is_soak;
use serde_json::{Value, json};

use super::host::{Host, names};

type Edit = fn(&Path);

fn database(path: &Path) -> std::path::PathBuf {
    path.join("system.duckdb")
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// Changes a snapshot's manifest.
pub(super) fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let path = path.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
}

/// Makes size and hash of the database in the manifest those of the file, as somebody would who wants it to pass.
fn sign(path: &Path) {
    let bytes = std::fs::read(database(path)).unwrap();
    let sum = openssl::hash::hash(openssl::hash::MessageDigest::sha256(), &bytes).unwrap();
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    edit(path, |manifest| {
        manifest["files"]["system.duckdb"] = json!({"sha256": sum, "size": bytes.len()});
    });
}

/// What is done to a snapshot, and a reason that must be among the findings.
const DAMAGES: [(&str, &str, Edit); 20] = [
    ("a bit of the header", "file-sha256", |path| {
        flip(&database(path), |_| 12);
    }),
    ("a bit in the middle", "file-sha256", |path| {
        flip(&database(path), |size| size / 2);
    }),
    (
        "a bit of the header, signed",
        "database-unreadable",
        |path| {
            flip(&database(path), |_| 12);
            sign(path);
        },
    ),
    ("cut in half", "file-size", |path| {
        let file = std::fs::File::options()
            .write(true)
            .open(database(path))
            .unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }),
    ("cut in half, signed", "database-unreadable", |path| {
        let file = std::fs::File::options()
            .write(true)
            .open(database(path))
            .unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        sign(path);
    }),
    ("an empty file", "file-size", |path| {
        std::fs::write(database(path), "").unwrap();
    }),
    ("an empty file, signed", "database-unreadable", |path| {
        std::fs::write(database(path), "").unwrap();
        sign(path);
    }),
    (
        "no database at all, signed",
        "database-unreadable",
        |path| {
            std::fs::write(database(path), "<html>not found</html>").unwrap();
            sign(path);
        },
    ),
    ("the database is gone", "file-missing", |path| {
        std::fs::remove_file(database(path)).unwrap();
    }),
    ("another one's database", "table-rows", |path| {
        std::fs::copy(database(&path.with_file_name("older")), database(path)).unwrap();
    }),
    ("another one's database, signed", "table-rows", |path| {
        std::fs::copy(database(&path.with_file_name("older")), database(path)).unwrap();
        sign(path);
    }),
    ("another one's manifest", "id-differs", |path| {
        let other = path.with_file_name("older").join("manifest.json");
        std::fs::copy(other, path.join("manifest.json")).unwrap();
    }),
    ("no manifest", "manifest-missing", |path| {
        std::fs::remove_file(path.join("manifest.json")).unwrap();
    }),
    ("a manifest that is cut", "manifest-unreadable", |path| {
        let manifest = std::fs::read(path.join("manifest.json")).unwrap();
        std::fs::write(path.join("manifest.json"), &manifest[..manifest.len() / 2]).unwrap();
    }),
    (
        "a manifest of a later program",
        "manifest-unreadable",
        |path| {
            edit(path, |manifest| manifest["manifest_version"] = json!(99));
        },
    ),
    ("another number of rows", "table-rows", |path| {
        edit(path, |manifest| {
            manifest["tables"]["users"]["rows"] = json!(7);
        });
    }),
    ("another content", "table-content", |path| {
        edit(path, |manifest| {
            manifest["tables"]["users"]["sha256"] = json!("ab".repeat(32));
        });
    }),
    ("no table is named", "manifest-empty", |path| {
        edit(path, |manifest| manifest["tables"] = json!({}));
    }),
    ("another schema", "schema-differs", |path| {
        edit(path, |manifest| manifest["schema_version"] = json!(1));
    }),
    ("a torn log beside it", "file-unlisted", |path| {
        std::fs::write(path.join("system.duckdb.wal"), [0x57; 100]).unwrap();
    }),
];

/// Damage that only the ledger can know of: everything in the snapshot agrees with everything else.
fn as_if_unknown(host: &Host) {
    // without a manifest nothing is noted
    let _ = std::fs::remove_file(host.ledger());
}

#[test]
fn s08_every_kind_of_damage_is_a_finding_of_its_own_and_the_live_data_is_not_touched() {
    let host = Host::up();
    let older = host.create();
    host.write();
    let id = host.create();
    host.down();
    let path = host.snapshot(&id);
    let kept = host.deployment.dir().join("kept");
    copy(&path, &kept);
    copy(&host.snapshot(&older), &path.with_file_name("older"));
    let live = std::fs::read(host.database()).unwrap();
    for (what, reason, damage) in DAMAGES {
        damage(&path);
        as_if_unknown(&host);
        let ran = host.ops(&["verify", &id]);
        assert_eq!(ran.code, 1, "{what}: {}", ran.stdout);
        let findings = ran.detail("findings").as_array().unwrap();
        let found: Vec<&str> = findings
            .iter()
            .map(|one| one["reason"].as_str().unwrap())
            .collect();
        assert!(found.contains(&reason), "{what}: {found:?}");
        assert!(findings.iter().all(|one| one["snapshot"] == id), "{what}");
        // and it is not put back either
        let restored = host.ops(&["restore", &id]);
        assert_eq!(restored.code, 1, "{what}: {}", restored.stdout);
        assert_eq!(restored.json["outcome"], "unchanged", "{what}");
        assert_eq!(std::fs::read(host.database()).unwrap(), live, "{what}");
        std::fs::remove_dir_all(&path).unwrap();
        copy(&kept, &path);
        as_if_unknown(&host);
        host.ops(&["verify", &id]).exits(0);
    }
    assert_eq!(
        names(&host.deployment.state().join("ops/scratch")),
        [""; 0],
        "copies were left"
    );
}

#[test]
fn s08_a_snapshot_that_was_changed_whole_is_known_by_what_was_proven_before() {
    let host = Host::up();
    let older = host.create();
    host.write();
    let id = host.create();
    let path = host.snapshot(&id);
    // a sound snapshot in every way, but not this one
    std::fs::remove_dir_all(&path).unwrap();
    copy(&host.snapshot(&older), &path);
    edit(&path, |manifest| manifest["id"] = json!(id));
    let ran = host.ops(&["verify", &id]).exits(1);
    assert_eq!(ran.detail("reason"), "manifest-differs");
    let listed = host.ops(&["list"]).exits(0);
    assert_eq!(listed.detail("snapshots")[1]["proven"], false);
}

#[test]
fn s08_nothing_is_found_in_good_ones() {
    let host = Host::up();
    host.write();
    let many = match is_soak() {
        true => 200,
        false => 3,
    };
    for _ in 0..many {
        host.create();
    }
    as_if_unknown(&host);
    let ran = host.ops(&["verify", "--all"]).exits(0);
    assert_eq!(ran.detail("findings"), &json!([]));
    assert_eq!(ran.detail("snapshots").as_array().unwrap().len(), many);
    let listed = host.ops(&["list"]).exits(0);
    let listed = listed.detail("snapshots").as_array().unwrap();
    assert!(listed.iter().all(|one| one["proven"] == true));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What `prune` counts on must be there: a file that is gone, short, or only a link to one is no snapshot (S03).
#[test]
fn s03_a_snapshot_that_lost_its_database_pushes_no_whole_one_out() {
    let host =
        Host::with(|deployment| deployment.toml("[snapshot]\nkeep_last = 1\nkeep_days = 0\n"));
    host.write();
    let damages: [fn(&Path); 3] = [
        |path| std::fs::write(path, "").unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
        |path| {
            let elsewhere = path.with_extension("elsewhere");
            std::fs::rename(path, &elsewhere).unwrap();
            std::os::unix::fs::symlink(elsewhere, path).unwrap();
        },
    ];
    for damage in damages {
        let whole = host.create();
        let lost = host.create();
        damage(&database(&host.snapshot(&lost)));
        host.ops(&["prune"]).exits(0);
        assert!(
            host.snapshot(&whole).exists(),
            "the last whole one was removed"
        );
        let listed = host.ops(&["list"]).exits(0);
        let listed = listed.detail("snapshots").as_array().unwrap().clone();
        let standing = |id: &str| {
            let one = listed.iter().find(|one| one["id"] == id).unwrap();
            one["standing"].clone()
        };
        assert_eq!(
            (standing(&whole), standing(&lost)),
            (json!("proven"), json!("damaged"))
        );
        host.ops(&["verify", &whole]).exits(0);
    }
}

/// A link in a snapshot may lead to what only root may read, and a fifo has no end.
#[test]
fn s08_what_is_no_file_is_found_and_neither_followed_nor_waited_for() {
    let host = Host::up();
    let id = host.create();
    let file = database(&host.snapshot(&id));
    let secret = host.deployment.dir().join("secret");
    std::fs::rename(&file, &secret).unwrap();
    let kinds: [&dyn Fn(); 2] = [
        &|| std::os::unix::fs::symlink(&secret, &file).unwrap(),
        &|| nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
    ];
    for make in kinds {
        make();
        let found = host.ops(&["verify", &id]).exits(1);
        let said = found.detail("findings").to_string();
        assert!(said.contains("not a regular file"), "{said}");
        assert!(!said.contains("database-"), "it was opened: {said}");
        std::fs::remove_file(&file).unwrap();
    }
}

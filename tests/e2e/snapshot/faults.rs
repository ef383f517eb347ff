//! Full disks and disks whose writes fail: refused or rolled back, and the next run is good.

use agnes_e2e::components::{is_soak, require, seed};
use serde_json::json;

use super::host::{Host, names};
use crate::injected::injected;
use crate::small_disk::SmallDisk;

#[test]
fn u13_on_a_full_disk_nothing_is_begun_and_what_is_there_stays() {
    let mut disk = None;
    let host = Host::with(|deployment| {
        let data = deployment.dir().join("data");
        std::fs::create_dir_all(&data).unwrap();
        disk = SmallDisk::mount(&data, 200);
        deployment
    });
    let Some(disk) = disk else { return };
    let id = host.create();
    host.write();
    disk.fill_but(60 << 10);
    let before = agnes_e2e::deployment::snapshot(&host.snapshot(&id));
    for verb in [
        &["create"][..],
        &["verify", &id],
        &["drill"],
        &["restore", &id],
    ] {
        let ran = host.ops(verb);
        assert_eq!(ran.code, 1, "{verb:?}: {}", ran.stdout);
        assert_eq!(ran.json["outcome"], "unchanged", "{verb:?}");
        assert_eq!(ran.detail("reason"), "no-room", "{verb:?}: {}", ran.stdout);
        assert_eq!(host.users(), 2, "{verb:?}");
    }
    assert_eq!(agnes_e2e::deployment::snapshot(&host.snapshot(&id)), before);
    assert_eq!(names(&host.directory()), [id.as_str()]);
    disk.free();
    host.create();
    host.ops(&["restore", &id]).exits(0);
    assert_eq!(host.users(), 1);
    host.is_clean();
    drop(host);
}

#[test]
fn s02_a_write_that_fails_is_a_failure_that_is_taken_back_and_the_next_run_is_good() {
    let Some(strace) = require("strace") else {
        return;
    };
    let host = Host::up();
    let id = host.create();
    host.write();
    let soak = is_soak();
    for fault in [
        "fsync:EIO",
        "rename:EIO",
        "write:ENOSPC",
        "copy_file_range:ENOSPC",
    ] {
        for verb in [&["create"][..], &["restore", &id]] {
            for number in 1..200 {
                if !soak && !(number + seed()).is_multiple_of(7) {
                    continue;
                }
                if !injected(
                    &host.deployment,
                    &strace,
                    fault,
                    number,
                    &[&["snapshot"], verb].concat(),
                ) {
                    break;
                }
                // whatever was left open ends, and what is there is whole
                if verb[0] == "restore" {
                    let ran = host.ops(verb);
                    assert!(
                        [0, 1].contains(&ran.code),
                        "{fault} {number}: {}",
                        ran.stdout
                    );
                    assert_eq!(host.state()["ready"], true);
                    assert_eq!(host.state()["writes"], "open", "{fault} {number}");
                    if host.users() == 1 {
                        host.write();
                    }
                }
                host.create();
                host.is_clean();
            }
        }
    }
    let all = host.ops(&["verify", "--all"]).exits(0);
    assert_eq!(all.detail("findings"), &json!([]));
}

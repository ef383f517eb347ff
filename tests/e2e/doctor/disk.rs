//! W04, U13: a disk that fills is found while there is time, and once it is full it is the cause of all that follows.

use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use serde_json::Value;

use crate::small_disk::SmallDisk;

fn causes(ran: &Ran) -> Vec<(String, String)> {
    let findings = ran.json["details"]["findings"].as_array().unwrap().iter();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .filter(|finding| finding["because"].is_null())
        .map(|finding| (text(finding, "id"), text(finding, "evidence")))
        .collect()
}

/// The deployment's data on a disk of so many MiB, and its server; `None` after saying `SKIP`.
pub(crate) fn up_on(deployment: &Deployment, mib: u64) -> Option<SmallDisk> {
    let data = deployment.dir().join("data");
    std::fs::create_dir(&data).unwrap();
    let disk = SmallDisk::mount(&data, mib)?;
    std::fs::remove_dir(data.join("lost+found")).unwrap();
    deployment.ops(&["up"]).exits(0);
    Some(disk)
}

#[test]
fn w04_a_disk_that_fills_is_found_before_the_snapshot_is_refused() {
    let deployment = Deployment::process(ports::free_address());
    let Some(disk) = up_on(&deployment, 200) else {
        return;
    };
    deployment.ops(&["doctor", "disk"]).exits(0);

    // a fifth of it is free, and still too little for a copy of the database and what is left beside it
    disk.fill_but(40 << 10);
    let found = deployment.ops(&["doctor", "disk"]).exits(10);
    let (id, evidence) = &causes(&found)[0];
    assert_eq!(id, "disk.space");
    assert!(
        evidence.contains("the next snapshot is refused"),
        "{evidence}"
    );
    let refused = deployment.ops(&["snapshot", "create"]).exits(1);
    assert_eq!(refused.detail("reason"), "no-room");

    disk.fill_but(4 << 10);
    let found = deployment.ops(&["doctor", "disk"]).exits(10);
    let (_, evidence) = &causes(&found)[0];
    assert!(evidence.contains(" MiB of 1"), "{evidence}");

    // full: whatever else is wrong comes from it
    disk.fill();
    let found = deployment.ops(&["doctor"]).exits(10);
    let ids: Vec<String> = causes(&found).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["disk.space"], "{}", found.stdout);
    disk.free();
    let mended = deployment.ops(&["doctor", "disk", "store.write"]);
    assert_eq!(causes(&mended), [], "{}", mended.stdout);
    deployment.ops(&["down"]).exits(0);
}

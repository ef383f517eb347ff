//! What a snapshot and a drill cost, beside a copy of the same file: `cargo xtask bench upgrade` runs it on a release.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::host::Host;
use crate::measured::median;

/// Rows with as much noise as the audit log keeps of a caller's name for itself: about 1 GB.
const ROWS: &str = "3200000";
const ROW: &str = "512";

fn took(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// As people copy; the second time until the disk has it, as a snapshot does.
fn copied(from: &Path, to: &Path, durable: bool) -> Duration {
    let _ = std::fs::remove_file(to);
    let script = match durable {
        true => "cp \"$1\" \"$2\" && sync \"$2\"",
        false => "cp \"$1\" \"$2\"",
    };
    let mut copy = Command::new("sh");
    copy.args(["-c", script, "sh"]).arg(from).arg(to);
    took(|| assert!(copy.status().unwrap().success()))
}

#[test]
#[ignore = "measures a release: cargo xtask bench upgrade"]
fn bench_snapshot() {
    let host = Host::up();
    host.down();
    let seed = xtask::checkout::programs().unwrap().join("examples/seed");
    let seeded = Command::new(seed)
        .arg(host.deployment.state())
        .args(["1", ROWS, ROW])
        .status();
    assert!(seeded.unwrap().success());
    host.start();
    let bytes = std::fs::metadata(host.database()).unwrap().len();
    println!("FIGURE snapshot-bytes {bytes} the database");
    let copy = host.deployment.dir().join("copy");
    let (mut plain, mut durable, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pauses, mut drills) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        plain.push(copied(&host.database(), &copy, false));
        durable.push(copied(&host.database(), &copy, true));
        std::fs::remove_file(&copy).unwrap();
        let mut made = None;
        snapshots.push(took(|| made = Some(host.ops(&["create"]).exits(0))));
        let made = made.unwrap();
        let id = made.detail("id").as_str().unwrap();
        let manifest = std::fs::read(host.snapshot(id).join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        pauses.push(Duration::from_millis(
            manifest["pause_ms"].as_u64().unwrap(),
        ));
        drills.push(took(|| drop(host.ops(&["drill"]).exits(0))));
        std::fs::remove_dir_all(host.snapshot(id)).unwrap();
    }
    for (name, samples) in [
        ("cp-ms", plain),
        ("cp-durable-ms", durable),
        ("snapshot-ms", snapshots),
        ("snapshot-pause-ms", pauses),
        ("drill-ms", drills),
    ] {
        println!("FIGURE {name} {} median of 3", median(samples).as_millis());
    }
}

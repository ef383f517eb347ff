//! A disk that really refuses (S11): what is not written is not acknowledged, what was acknowledged stays, and every place that
//! is asked says how it is.

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;

use super::audit::run;
use super::client::{ADMIN, Caller, PASSWORD, Reply, started, started_with, usual};
use super::control::Control;
use crate::faults::Faults;
use crate::server::{PATIENCE, Place, Server};
use crate::small_disk::SmallDisk;

/// The groups of one test: those that were acknowledged, and those that were refused.
#[derive(Default)]
struct Groups {
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

impl Groups {
    /// Ten that were acknowledged.
    async fn ten(admin: &Caller) -> Self {
        let mut groups = Self::default();
        for _ in 0..10 {
            assert_eq!(groups.make(admin).await.status, 201);
        }
        groups
    }

    async fn make(&mut self, admin: &Caller) -> Reply {
        // long: the last block of the log has room for a few short ones on the fullest disk
        let number = self.acknowledged.len() + self.refused.len();
        let name = format!("{number}-{}", "x".repeat(90));
        let reply = admin.post("/api/groups", json!({"name": name})).await;
        match reply.status {
            201 => self.acknowledged.push(name),
            _ => self.refused.push(name),
        }
        reply
    }

    /// Until one is refused.
    async fn make_until_refused(&mut self, admin: &Caller) -> Reply {
        let end = Instant::now() + PATIENCE;
        loop {
            let reply = self.make(admin).await;
            if reply.status != 201 {
                return reply;
            }
            assert!(Instant::now() < end, "a full disk takes every write");
        }
    }

    /// What a server that was started again knows: all that was acknowledged, nothing that was refused, a row for each.
    async fn are_there(&self, admin: &Caller) {
        let groups = admin.get("/api/groups?limit=1000").await;
        let there: Vec<&str> = groups
            .items()
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        for name in &self.acknowledged {
            assert!(there.contains(&name.as_str()), "{name} is lost");
        }
        for name in &self.refused {
            assert!(!there.contains(&name.as_str()), "{name} was refused");
        }
        let rows = admin.audit("group.created").await;
        assert_eq!(rows.len(), there.len() - 1, "an act and its row are one");
    }
}

fn is_a_problem(reply: &Reply, status: u16, reason: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(reply.text("reason"), reason);
    assert!(reply.body["request_id"].is_string(), "{reply:?}");
}

/// Waits until `/readyz` answers with `status`.
async fn until_ready_is(anyone: &Caller, status: u16) -> Reply {
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = anyone.get("/readyz").await;
        if reply.status == status {
            return reply;
        }
        assert!(Instant::now() < end, "{reply:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Every place that is asked says that nothing can be written, and reads go on.
async fn says_that_nothing_is_written(anyone: &Caller, admin: &Caller) -> Reply {
    let ready = until_ready_is(anyone, 503).await;
    assert_eq!(ready.body["reasons"], json!(["store"]), "{ready:?}");
    assert_eq!(anyone.get("/healthz").await.status, 200);
    assert_eq!(anyone.get("/api/health").await.status, 200);
    let detailed = admin.get("/api/health/detailed").await;
    assert_eq!(detailed.status, 503, "{detailed:?}");
    assert_eq!(detailed.body["status"], "unavailable");
    assert_eq!(detailed.body["services"]["store"]["status"], "unavailable");
    for path in ["/api/groups", "/api/users", "/api/audit?limit=10"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    detailed
}

fn verifies(place: &Place) {
    let (code, out, said) = run(place, &["audit", "verify"]);
    assert_eq!(code, Some(0), "{out}{said}");
}

async fn starts_again(place: &Place) -> (Server, Caller, Caller) {
    let server = place.start_with(usual);
    let anyone = Caller::of(&server);
    let admin = anyone.signed_in(ADMIN, PASSWORD).await;
    (server, anyone, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_disk_that_fills_up_is_told_everywhere_and_the_server_recovers_by_itself() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 48) else {
        return;
    };
    let (mut server, anyone, admin) = started(&place).await;
    let control = Control::of(&place);
    let mut groups = Groups::ten(&admin).await;
    disk.fill();
    // nobody has to lose a write to notice
    until_ready_is(&anyone, 503).await;
    let refused = groups.make_until_refused(&admin).await;
    is_a_problem(&refused, 507, "disk-full");
    let detailed = says_that_nothing_is_written(&anyone, &admin).await;
    assert_eq!(detailed.body["services"]["disk"]["status"], "unavailable");
    // a checkpoint that fails half-way would cost the database
    let (status, said) = control.post("/v1/checkpoint", json!({})).await;
    assert_eq!((status, &said["reason"]), (507, &json!("disk-full")));
    let (status, said) = control.post("/v1/snapshot", json!({"name": "full"})).await;
    assert_eq!((status, &said["reason"]), (507, &json!("disk-full")));
    // its few bytes may find a place in the last block once or twice: then they are there
    let end = Instant::now() + PATIENCE;
    let refused = loop {
        let (status, said) = control.post("/v1/canary", json!({})).await;
        if status != 200 {
            break (status, said["reason"].clone());
        }
        assert!(Instant::now() < end, "a full disk takes every canary");
    };
    assert_eq!(refused, (507, json!("disk-full")));
    is_a_problem(&groups.make(&admin).await, 507, "disk-full");
    says_that_nothing_is_written(&anyone, &admin).await;

    disk.free();
    until_ready_is(&anyone, 200).await;
    for _ in 0..10 {
        assert_eq!(groups.make(&admin).await.status, 201);
    }
    assert_eq!(control.post("/v1/checkpoint", json!({})).await.0, 200);
    let detailed = admin.get("/api/health/detailed").await;
    assert_eq!(detailed.status, 200, "{detailed:?}");
    groups.are_there(&admin).await;
    assert_eq!(server.stop(), 0, "{}", server.log());
    verifies(&place);
    // a start has to write a little, also one without a log to fold in
    disk.fill();
    let (code, said) = place.refused(usual);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("No space left on device") && said.contains("nothing was started"),
        "{said}"
    );
    let left = std::fs::read_dir(place.state()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let unfinished = |name: &&std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.ends_with(".part") || name.ends_with(".tmp")
    };
    assert_eq!(left.iter().find(unfinished), None, "{left:?}");
    disk.free();
    let (_server, _, admin) = starts_again(&place).await;
    groups.are_there(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_kill_or_a_stop_on_a_full_disk_loses_nothing_and_a_start_there_refuses_with_the_reason()
 {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 48) else {
        return;
    };
    let (mut server, _, admin) = started(&place).await;
    let mut groups = Groups::ten(&admin).await;
    disk.fill();
    groups.make_until_refused(&admin).await;
    server.signal(Signal::SIGKILL);
    server.wait(PATIENCE);
    let wal = place.state().join("system.duckdb.wal");
    let before = std::fs::read(&wal).unwrap();
    for _ in 0..3 {
        let (code, said) = place.refused(usual);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(std::fs::read(&wal).unwrap() == before, "the log changed");
    }
    assert!(!place.state().join("quarantine").exists());
    disk.free();
    let (mut server, _, admin) = starts_again(&place).await;
    groups.are_there(&admin).await;

    // the same by a stop, which says what it could not do
    for _ in 0..10 {
        assert_eq!(groups.make(&admin).await.status, 201);
    }
    disk.fill();
    groups.make_until_refused(&admin).await;
    assert_eq!(server.stop(), 1, "{}", server.log());
    assert!(
        server
            .log()
            .contains("every acknowledged write is in the write-ahead log"),
        "{}",
        server.log()
    );
    disk.free();
    verifies(&place);
    let (_server, _, admin) = starts_again(&place).await;
    groups.are_there(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_disk_that_goes_read_only_is_told_and_a_repaired_one_has_everything() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 48) else {
        return;
    };
    let (mut server, anyone, admin) = started(&place).await;
    let control = Control::of(&place);
    let mut groups = Groups::ten(&admin).await;
    disk.goes_read_only();
    is_a_problem(&groups.make(&admin).await, 503, "disk-unwritable");
    says_that_nothing_is_written(&anyone, &admin).await;
    for (path, body) in [
        ("/v1/checkpoint", json!({})),
        ("/v1/snapshot", json!({"name": "s"})),
        ("/v1/writes/hold", json!({"id": "h"})),
    ] {
        let (status, said) = control.post(path, body).await;
        assert_eq!(status, 503, "{path}: {said}");
        assert_eq!(said["reason"], "disk-unwritable", "{path}: {said}");
    }
    assert_eq!(control.get("/v1/state").await.1["writes"], "open");
    is_a_problem(&groups.make(&admin).await, 503, "disk-unwritable");
    says_that_nothing_is_written(&anyone, &admin).await;
    assert_eq!(server.stop(), 1, "{}", server.log());
    let (code, said) = place.refused(usual);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    disk.repair();
    verifies(&place);
    let (_server, _, admin) = starts_again(&place).await;
    groups.are_there(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_write_whose_sync_failed_is_not_acknowledged_and_the_server_ends_to_be_opened_anew() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    let groups = Groups::ten(&admin).await;
    let wal = place.state().join("system.duckdb.wal");
    let Some(faults) = Faults::inject(
        server.pid(),
        &[
            "-P",
            wal.to_str().unwrap(),
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            "inject=fsync,fdatasync:error=EIO",
        ],
    ) else {
        return;
    };
    let form = json!({"name": "doubtful"});
    let doubtful = admin
        .try_call(reqwest::Method::POST, "/api/groups", Some(form))
        .await;
    if let Some(reply) = &doubtful {
        is_a_problem(reply, 503, "store-lost");
        assert!(reply.header("retry-after").is_some());
    }
    let status = server.wait(PATIENCE);
    drop(faults);
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(
        server.log().contains("the database has to be opened anew"),
        "{}",
        server.log()
    );
    verifies(&place);
    let (_server, _, admin) = starts_again(&place).await;
    // whether the doubtful one is there nobody was told; it is there with its row or not at all
    groups.are_there(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_snapshot_or_a_hold_that_finds_its_disk_full_leaves_nothing_and_writes_go_on() {
    let place = Place::new();
    let data: PathBuf = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data, 24) else {
        return;
    };
    let (mut server, anyone, admin) = started_with(&place, |command| {
        command.env("DATA_DIR", &data);
    })
    .await;
    let control = Control::at(data.join("run/agnesd.sock"));
    let (status, made) = control.post("/v1/snapshot", json!({"name": "one"})).await;
    assert_eq!(status, 200, "{made}");
    let mut groups = Groups::default();
    // not a block, and room for the directory and a part of the copy
    for kib in [0, 128] {
        disk.fill_but(kib);
        let (status, said) = control.post("/v1/snapshot", json!({"name": "two"})).await;
        assert_eq!(status, 507, "{said}");
        assert_eq!(said["reason"], "disk-full", "{said}");
        let snapshots = std::fs::read_dir(data.join("snapshots")).unwrap();
        let names: Vec<_> = snapshots.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["one"], "nothing is left that pretends");
        assert_eq!(groups.make(&admin).await.status, 201, "the pause has ended");
        disk.free();
    }
    disk.fill();
    let (status, said) = control.post("/v1/writes/hold", json!({"id": "u"})).await;
    assert_eq!(
        (status, &said["reason"]),
        (507, &json!("disk-full")),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(data.join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["agnesd.sock"]);
    assert_eq!(control.get("/v1/state").await.1["writes"], "open");
    assert_eq!(groups.make(&admin).await.status, 201);
    // the database is on another disk
    until_ready_is(&anyone, 200).await;
    disk.free();
    let (status, made) = control.post("/v1/snapshot", json!({"name": "two"})).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        control.post("/v1/writes/hold", json!({"id": "u"})).await.0,
        200
    );
    assert_eq!(
        control
            .post("/v1/writes/release", json!({"id": "u"}))
            .await
            .0,
        200
    );
    assert_eq!(admin.audit("snapshot.created").await.len(), 2);
    groups.are_there(&admin).await;
    assert_eq!(server.stop(), 0, "{}", server.log());
    verifies(&place);
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_disk_that_hangs_is_told_and_hangs_nobody_who_does_not_need_it() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    assert_eq!(admin.get("/api/health/detailed").await.status, 200);
    let Some(faults) = Faults::inject(
        server.pid(),
        &[
            "-e",
            "trace=statfs",
            "-e",
            // microseconds; longer than the look's deadline
            "inject=statfs:delay_enter=12000000",
        ],
    ) else {
        return;
    };
    // more at once than the runtime has threads
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let admin = admin.clone();
        asking.spawn(async move { admin.get("/api/health/detailed").await });
    }
    let mut answered = 0;
    while !asking.is_empty() {
        tokio::select! {
            reply = asking.join_next() => {
                let reply = reply.unwrap().unwrap();
                assert_eq!(reply.status, 503, "{reply:?}");
                assert_eq!(reply.body["services"]["disk"]["status"], "unavailable");
                assert_eq!(reply.body["services"]["disk"]["free_bytes"], json!(null));
            }
            reply = anyone.get("/healthz") => {
                assert_eq!(reply.status, 200);
                answered += 1;
            }
        }
    }
    assert!(answered > 10, "{answered}");
    assert_eq!(admin.get("/api/groups").await.status, 200);
    drop(faults);
    let end = Instant::now() + PATIENCE + PATIENCE;
    while admin.get("/api/health/detailed").await.status != 200 {
        assert!(Instant::now() < end, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

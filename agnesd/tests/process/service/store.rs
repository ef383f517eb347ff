//! The service over its store: what is acknowledged stays, what cannot be written is said (S06, S11).

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::client::{Caller, started, usual};
use crate::server::{PATIENCE, Place};

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_a_kill_and_the_numbers_have_no_gap() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let admin = admin.clone();
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let name = format!("g-{writer}-{n}");
                let form = Some(json!({"name": name}));
                match admin
                    .try_call(reqwest::Method::POST, "/api/groups", form)
                    .await
                {
                    Some(reply) if reply.status == 201 => acknowledged.push(name),
                    _ => break,
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    // a second owner gets nothing while the first one lives
    let (code, said) = place.refused(|_| {});
    assert_eq!(code, Some(1), "{said}");
    server.signal(Signal::SIGKILL);
    server.wait(PATIENCE);
    let acknowledged: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 8, "{}", acknowledged.len());
    assert!(
        place.state().join("system.duckdb.wal").exists(),
        "it was killed in the middle of writing"
    );

    let server = place.start_with(usual);
    let admin = Caller::of(&server)
        .signed_in(super::client::ADMIN, super::client::PASSWORD)
        .await;
    let groups = admin.get("/api/groups").await;
    let there: std::collections::HashSet<&str> = groups
        .items()
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|name| !there.contains(name.as_str()))
        .collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    let rows = admin.audit("group.created").await;
    assert_eq!(
        rows.len().min(1000),
        there.len().saturating_sub(1).min(1000),
        "an act and its row are one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_no_write_ahead_log() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    assert_eq!(
        admin.post("/api/groups", json!({"name": "g"})).await.status,
        201
    );
    assert_eq!(server.stop(), 0);
    let wal = place.state().join("system.duckdb.wal");
    assert!(!wal.exists() || fs::metadata(&wal).unwrap().len() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_of_a_recovery_that_cannot_be_read_is_told_kept_aside_and_stops_no_start() {
    let place = Place::new();
    let (mut server, _, _) = started(&place).await;
    assert_eq!(server.stop(), 0);
    let note = place.state().join("recovered.json");
    fs::write(&note, "{\"at\": \"2026-").unwrap();
    let mut server = place.start_with(usual);
    let admin = Caller::of(&server)
        .signed_in(super::client::ADMIN, super::client::PASSWORD)
        .await;
    let rows = admin.audit("store.recovered").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["outcome"], "failure");
    assert!(rows[0]["metadata"]["unreadable"].is_string(), "{rows:?}");
    assert!(
        server.log().contains("recovered.json") && !note.exists(),
        "{}",
        server.log()
    );
    let kept: Vec<_> = fs::read_dir(place.state())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.to_string_lossy()
                .contains("recovered.json.unreadable-")
        })
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "{\"at\": \"2026-");
    assert_eq!(server.stop(), 0);
    let server = place.start_with(usual);
    let admin = Caller::of(&server)
        .signed_in(super::client::ADMIN, super::client::PASSWORD)
        .await;
    assert_eq!(admin.audit("store.recovered").await.len(), 1, "told once");
}

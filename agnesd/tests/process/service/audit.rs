//! `agnesd audit verify` and `agnesd sign-in-link`, as an operator runs them.

use serde_json::{Value, json};

use super::client::{ADMIN, Caller, PASSWORD, started, usual};
use crate::server::{Place, output};

pub(super) fn run(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = place.command();
    command.args(arguments);
    let output = output(&mut command);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_of_a_stopped_server_verifies_and_a_running_one_is_named() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    for n in 0..10 {
        admin
            .post("/api/groups", json!({"name": format!("g{n}")}))
            .await;
    }
    let (code, _, said) = run(&place, &["audit", "verify"]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("pid {}", server.pid())), "{said}");
    assert_eq!(server.stop(), 0);
    let (code, out, said) = run(&place, &["audit", "verify", "--json"]);
    assert_eq!(code, Some(0), "{out}{said}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["command"], "audit verify");
    assert!(report["details"]["rows"].as_u64().unwrap() > 12, "{report}");
    assert_eq!(report["details"]["findings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_servers_chain_verifies_from_a_copy_and_its_files_stay_as_they_are() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    admin.post("/api/groups", json!({"name": "g"})).await;
    server.signal(nix::sys::signal::Signal::SIGKILL);
    server.wait(crate::server::PATIENCE);
    let wal = place.state().join("system.duckdb.wal");
    let before = std::fs::read(&wal).unwrap();
    let scratch = place.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let (code, out, said) = run(
        &place,
        &["audit", "verify", "--scratch", scratch.to_str().unwrap()],
    );
    assert_eq!(code, Some(0), "{out}{said}");
    assert_eq!(std::fs::read(&wal).unwrap(), before);
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_out_administrator_gets_in_by_the_host() {
    let place = Place::new();
    let (code, out, said) = run(&place, &["sign-in-link", ADMIN]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("agnesd.sock") && said.contains("nothing was made"),
        "{said}"
    );
    let (mut server, anyone, _) = started(&place).await;
    let (code, out, said) = run(&place, &["sign-in-link", "nobody@example.com"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    let (code, out, said) = run(&place, &["sign-in-link", ADMIN]);
    assert_eq!(code, Some(0), "{said}");
    let reply = anyone
        .post("/auth/magic/verify", json!({"token": out.trim()}))
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        anyone
            .bearing(&reply.text("access_token"))
            .get("/api/users")
            .await
            .status,
        200
    );
    assert!(!server.log().contains(out.trim()) && !said.contains(out.trim()));
    assert_eq!(server.stop(), 0);
    let server = place.start_with(usual);
    Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
}

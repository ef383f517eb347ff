//! Upgrades and rollbacks one after another, under a client that writes and one that reads on a kept connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Host;
use crate::stack::wait;

/// What the clients of one round saw.
#[derive(Debug, Default)]
struct Seen {
    /// Names of groups whose making was acknowledged.
    written: Vec<String>,
    refused: usize,
    reads: usize,
    /// What must not happen.
    wrong: Vec<String>,
}

impl Host {
    fn url(&self, path: &str) -> String {
        let port = self.stack.https.port();
        format!("https://{}:{port}{path}", agnes_e2e::deployment::DOMAIN)
    }

    /// One write after another: acknowledged, or refused with 503 and when to come again.
    fn keep_writing(&self, token: &str, prefix: &str, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        wait(async {
            let client = self.stack.client();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let name = format!("{prefix}_{number}");
                let request = client.post(self.url("/api/groups")).bearer_auth(token);
                match request.json(&json!({"name": name})).send().await {
                    Ok(answer) if answer.status() == 201 => seen.written.push(name),
                    Ok(answer)
                        if answer.status() == 503
                            && answer.headers().contains_key("retry-after") =>
                    {
                        seen.refused += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    other => seen.wrong.push(format!("{name}: {other:?}")),
                }
            }
        });
        seen
    }

    /// One read after another on one connection: each is answered.
    fn keep_reading(&self, token: &str, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        wait(async {
            let client = self.stack.client();
            while !stop.load(Ordering::Relaxed) {
                let request = client.get(self.url("/api/me")).bearer_auth(token);
                match request.send().await {
                    Ok(answer) if answer.status() == 200 => seen.reads += 1,
                    other => seen.wrong.push(format!("a read: {other:?}")),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        seen
    }

    /// Both clients while `work` goes on.
    fn under_both(&self, prefix: &str, work: impl FnOnce()) -> Seen {
        let token = self.sign_in();
        let stop = AtomicBool::new(false);
        let (mut seen, reads) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| self.keep_writing(&token, prefix, &stop));
            let reader = scope.spawn(|| self.keep_reading(&token, &stop));
            work();
            stop.store(true, Ordering::Relaxed);
            (writer.join().unwrap(), reader.join().unwrap())
        });
        seen.reads = reads.reads;
        seen.wrong.extend(reads.wrong);
        seen
    }
}

#[test]
fn u01_upgrades_and_rollbacks_lose_no_acknowledged_write_and_fail_no_read() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let rounds = match std::env::var_os("AGNES_SOAK") {
        Some(_) => 20,
        None => 1,
    };
    let mut all = Seen::default();
    for round in 0..rounds {
        let next = host.publish(&format!("LABEL version=next-{round}"));
        let seen = host.under_both(&format!("churn_{round}"), || {
            host.upgrade(&[]).exits(0).with_outcome("changed");
            host.runs(&next);
            host.upgrade(&["rollback"]).exits(0).with_outcome("changed");
        });
        host.runs(&host.first);
        all.written.extend(seen.written);
        all.refused += seen.refused;
        all.reads += seen.reads;
        all.wrong.extend(seen.wrong);
        assert!(all.wrong.is_empty(), "round {round}: {:?}", all.wrong);
    }
    let token = host.sign_in();
    let bearer = format!("Bearer {token}");
    let listed = host
        .stack
        .get("/api/groups", &[("Authorization", bearer.as_str())]);
    let listed = listed.unwrap().text;
    let is_lost = |name: &&String| !listed.contains(&format!("\"{name}\""));
    let lost: Vec<_> = all.written.iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "of {}: {lost:?}", all.written.len());
    assert!(all.written.len() > 20 && all.reads > 20, "{all:?}");
    println!("FIGURE churn-rounds {rounds} an upgrade and a rollback each, none lost a write");
    println!("FIGURE churn-writes {} acknowledged", all.written.len());
    println!(
        "FIGURE churn-refused {} writes, each with 503 and Retry-After",
        all.refused
    );
    println!(
        "FIGURE churn-reads {} on kept connections, none failed",
        all.reads
    );
}

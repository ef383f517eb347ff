//! SIGKILL in the middle of a storm of writes: every acknowledged one is there, each act with its audit row, and nobody
//! else could open the database meanwhile.
//!
//! `AGNES_SOAK=1` kills fifty times; otherwise three times. Every round goes on with the database of the one before.

use std::collections::BTreeSet;
use std::time::Duration;

use agnes_e2e::components::is_soak;
use agnes_e2e::deployment::{Deployment, agnesd};
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";
const WRITERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    async fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let response = request.bearer_auth(&self.token).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or_default()))
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.base));
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// How many audit rows there are of this action.
    async fn rows(&self, action: &str) -> usize {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let page = self
                .get(&format!("/api/audit?action={action}&limit=1000{cursor}"))
                .await;
            count += page["items"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return count,
            }
        }
    }
}

fn start(deployment: &Deployment, base: &str) -> Daemon {
    let mut daemon = Daemon::spawn(&mut deployment.server_command()).unwrap();
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    daemon.wait_for("serving http", PATIENCE).unwrap();
    daemon.wait_listening(address, PATIENCE).unwrap();
    daemon
}

async fn sign_in(base: &str) -> Api {
    let api = Api {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        base: base.to_owned(),
        token: String::new(),
    };
    let form = json!({"email": EMAIL, "password": PASSWORD});
    let (status, tokens) = api.post("/auth/token", &form).await.unwrap();
    assert_eq!(status, 200, "{tokens}");
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    Api { token, ..api }
}

/// Writes until the server goes; the names that were acknowledged.
async fn write(api: Api, round: usize, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let name = format!("r{round}-w{writer}-{n}");
        match api.post("/api/groups", &json!({"name": name})).await {
            Some((201, _)) => acknowledged.push(name),
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_no_acknowledged_write_is_lost_by_a_kill_in_a_storm_of_writes() {
    let rounds = if is_soak() { 50 } else { 3 };
    let address = ports::free_address();
    let base = format!("http://{address}");
    let deployment = Deployment::new()
        .with("AGNES_LISTEN", address.to_string())
        .with("METRICS_ADDR", "")
        .with("JWT_SECRET_KEY", "a-signing-key-for-the-storm-4b1f77")
        .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0")
        .with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "0");
    std::fs::create_dir_all(deployment.dir().join("data")).unwrap();
    let mut daemon = start(&deployment, &base);
    let anyone = Api {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        base: base.clone(),
        token: String::new(),
    };
    let form = json!({"email": EMAIL, "password": PASSWORD});
    let (status, body) = anyone.post("/auth/bootstrap", &form).await.unwrap();
    assert_eq!(status, 201, "{body}");

    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let api = sign_in(&base).await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(api.clone(), round, writer));
        }
        // another moment of a batch each round
        tokio::time::sleep(Duration::from_millis(300 + (round as u64 * 37) % 400)).await;
        let mut second = std::process::Command::new(agnesd());
        second.args(["db", "check", "-C", deployment.dir().to_str().unwrap()]);
        let second = second.output().unwrap();
        assert_eq!(second.status.code(), Some(1), "a second owner is refused");
        daemon.signal(Signal::SIGKILL).unwrap();
        daemon.wait(PATIENCE).unwrap();
        let before = acknowledged.len();
        acknowledged.extend(writers.join_all().await.into_iter().flatten());
        assert!(acknowledged.len() > before, "round {round} wrote nothing");

        daemon = start(&deployment, &base);
        let api = sign_in(&base).await;
        let groups = api.get("/api/groups").await;
        let groups = groups["items"].as_array().unwrap();
        let there: BTreeSet<&str> = groups.iter().filter_map(|g| g["name"].as_str()).collect();
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|name| !there.contains(name.as_str()))
            .collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
        // the group Admin was not made by anybody
        assert_eq!(
            api.rows("group.created").await,
            there.len() - 1,
            "round {round}"
        );
    }
    println!(
        "FIGURE storm-acknowledged {} writes in {rounds} kills, none lost",
        acknowledged.len()
    );
    assert_eq!(daemon.stop(PATIENCE).unwrap().code(), Some(0));
    let mut verify = std::process::Command::new(agnesd());
    verify.args(["audit", "verify", "-C", deployment.dir().to_str().unwrap()]);
    let verified = verify.output().unwrap();
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

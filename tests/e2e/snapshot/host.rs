//! A host with one `agnesd` of `agnes-ops up`, and what its snapshots hold.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use serde_json::{Value, json};

/// The server is stopped when it is dropped.
pub(super) struct Host {
    pub(super) deployment: Deployment,
    address: SocketAddr,
}

impl Host {
    pub(super) fn up() -> Self {
        Self::with(|deployment| deployment)
    }

    pub(super) fn with(more: impl FnOnce(Deployment) -> Deployment) -> Self {
        let address = ports::free_address();
        let deployment = more(Deployment::process(address));
        std::fs::create_dir_all(deployment.dir().join("data")).unwrap();
        deployment.ops(&["up"]).exits(0);
        Self {
            deployment,
            address,
        }
    }

    pub(super) fn ops(&self, verb: &[&str]) -> Ran {
        self.deployment.ops(&[&["snapshot"], verb].concat())
    }

    /// A snapshot's name.
    pub(super) fn create(&self) -> String {
        let ran = self.ops(&["create"]).exits(0).with_outcome("changed");
        ran.detail("id").as_str().unwrap().to_owned()
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.deployment.dir().join("data/snapshots")
    }

    pub(super) fn snapshot(&self, id: &str) -> PathBuf {
        self.directory().join(id)
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.deployment.state().join("ops/ledger/snapshots.json")
    }

    /// The database, as long as no server has it open.
    pub(super) fn database(&self) -> PathBuf {
        self.deployment.state().join("system.duckdb")
    }

    pub(super) fn down(&self) {
        self.deployment.ops(&["down"]).exits(0);
    }

    pub(super) fn start(&self) {
        self.deployment.ops(&["up"]).exits(0);
    }

    /// One row that is written through the API: the first admin.
    pub(super) fn write(&self) {
        let body =
            json!({"email": "admin@example.com", "password": "correct horse battery staple"});
        let request = client()
            .post(format!("http://{}/auth/bootstrap", self.address))
            .json(&body);
        let status = wait(async { request.send().await.unwrap().status() });
        assert!(status.is_success(), "{status}");
    }

    /// What the server says of itself.
    pub(super) fn state(&self) -> Value {
        let request = self.socket().get("http://localhost/v1/state");
        wait(async { request.send().await.unwrap().json().await.unwrap() })
    }

    /// Somebody holds writes.
    pub(super) fn hold(&self) {
        let hold = json!({"id": "somebody's"});
        let request = self.socket().post("http://localhost/v1/writes/hold");
        let status = wait(async { request.json(&hold).send().await.unwrap().status() });
        assert!(status.is_success(), "{status}");
    }

    fn socket(&self) -> reqwest::Client {
        let socket = self.deployment.dir().join("data/run/agnesd.sock");
        let client = reqwest::Client::builder().unix_socket(socket).build();
        client.unwrap()
    }

    /// How many users the server has: one, the scheduler's, until [`Host::write`].
    pub(super) fn users(&self) -> u64 {
        self.state()["store"]["users"].as_u64().unwrap()
    }

    /// The server takes writes, and nothing of a run is left but what it said it left.
    #[track_caller]
    pub(super) fn is_clean(&self) {
        let state = self.state();
        assert_eq!(state["ready"], true, "{state}");
        assert_eq!(state["writes"], "open", "{state}");
        let ops = self.deployment.state().join("ops");
        assert!(!ops.join("journal/restore.json").exists());
        for empty in ["scratch", "replaced"] {
            assert_eq!(names(&ops.join(empty)), [""; 0], "{empty}");
        }
        for name in names(&self.directory()) {
            let listed = self.directory().join(&name).join("manifest.json");
            assert!(listed.is_file(), "{name}");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

//! A host whose secrets are in place, beside its running server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use agnes_e2e::secret_manager::SecretManager;
use serde_json::{Value, json};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";
/// A key that was made somewhere else.
pub(super) const ELSEWHERE: &str = "a-key-that-somebody-made-elsewhere-4711";
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A host whose secrets are in place, and its running server.
pub(super) struct Host {
    pub(super) deployment: Deployment,
    address: SocketAddr,
    pub(super) daemon: Option<Daemon>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(|deployment| deployment)
    }

    pub(super) fn with(more: impl FnOnce(Deployment) -> Deployment) -> Self {
        let address = ports::free_address();
        let deployment = more(Deployment::process(address));
        std::fs::create_dir_all(deployment.dir().join("data")).unwrap();
        deployment.ops(&["secrets", "ensure"]).exits(0);
        let daemon = Some(start(&deployment, address));
        Self {
            deployment,
            address,
            daemon,
        }
    }

    /// One whose signing key is in this secret manager; `more` is the rest of its `[secrets.jwt]`.
    pub(super) fn fetching(manager: &SecretManager, more: &str) -> Self {
        manager.add("example-project", "agnes-jwt", ELSEWHERE);
        Self::with(|deployment| {
            deployment
                .with("AGNES_SM_ENDPOINT", manager.endpoint())
                .with("GOOGLE_CLOUD_PROJECT", "example-project")
                .toml(&format!(
                    "[secrets.jwt]\nsource = \"sm://agnes-jwt\"\n{more}"
                ))
        })
    }

    pub(super) fn stop(&mut self) {
        let ended = self.daemon.take().unwrap().stop(PATIENCE).unwrap();
        assert_eq!(ended.code(), Some(0));
    }

    pub(super) fn start(&mut self) {
        self.daemon = Some(start(&self.deployment, self.address));
    }

    pub(super) fn ops(&self, verb: &[&str]) -> Ran {
        self.deployment.ops(verb)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The status of a call with this credential; `Err`: it had no answer.
    pub(super) fn try_call(&self, credential: &str) -> reqwest::Result<u16> {
        let request = client().get(self.url("/api/me")).bearer_auth(credential);
        wait(async { Ok(request.send().await?.status().as_u16()) })
    }

    pub(super) fn call(&self, credential: &str) -> u16 {
        self.try_call(credential).unwrap()
    }

    pub(super) fn post(&self, path: &str, credential: Option<&str>, body: &Value) -> Value {
        let mut request = client().post(self.url(path)).json(body);
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        wait(async {
            let response = request.send().await.unwrap();
            assert!(
                response.status().is_success(),
                "{path}: {}",
                response.status()
            );
            response.json().await.unwrap()
        })
    }

    pub(super) fn bootstrap(&self) {
        self.post(
            "/auth/bootstrap",
            None,
            &json!({"email": EMAIL, "password": PASSWORD}),
        );
    }

    pub(super) fn sign_in(&self) -> String {
        let form = json!({"email": EMAIL, "password": PASSWORD});
        let tokens = self.post("/auth/token", None, &form);
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// What the deployment's files say now.
    pub(super) fn live(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.deployment.state().join("secrets/live").join(name)).ok()
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.deployment.dir().join(".env")).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")))?;
        Some(line.trim_matches('\'').to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn journal(&self, kind: &str) -> PathBuf {
        let name = format!("ops/journal/secrets-rotate-{kind}.json");
        self.deployment.state().join(name)
    }

    /// As if the longest life of what the old key signed were over.
    pub(super) fn time_passes(&self, kind: &str) {
        let path = self.journal(kind);
        let mut journal: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        journal["retire_after"] = 0.into();
        std::fs::write(path, journal.to_string()).unwrap();
    }
}

pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(super) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

fn start(deployment: &Deployment, address: SocketAddr) -> Daemon {
    let mut daemon = Daemon::spawn(&mut deployment.server_command()).unwrap();
    daemon.wait_for("serving http", PATIENCE).unwrap();
    daemon.wait_listening(address, PATIENCE).unwrap();
    daemon
}

//! The Docker engine, asked over its own API.
//!
//! Always true: reads only; a call ends within its deadline and no answer is read beyond its cap; no engine is told from one that
//! does not answer.
//!
//! Does not: change anything (`compose` does), start a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::image::{Digest, Reference, Repository};

/// Of one call.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Where the engine listens when nobody says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// The engine of this host.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
}

/// A container of the project, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its whole id.
    pub id: String,
    /// Its Compose service.
    pub service: String,
    /// The image's own id.
    pub image_id: String,
    /// `running`, `exited`, `created`, `restarting`…
    pub state: String,
    /// Compose's hash of what its files said when it was made.
    pub config_hash: String,
}

impl Container {
    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Whether it runs, or the engine starts it again and again: nobody stopped it.
    pub fn is_kept_up(&self) -> bool {
        self.runs() || self.state == "restarting"
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    state: String,
}

/// A container, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The image as the container was told it.
    pub image: String,
    /// The image's own id.
    pub image_id: String,
    /// Whether its process runs.
    pub runs: bool,
    /// Whether the engine starts it again and again.
    pub restarting: bool,
    /// How often the engine has.
    pub restarts: u64,
    /// When its process started, as the engine writes it.
    pub started_at: String,
    /// The exit code of a process that has ended.
    pub exit_code: i64,
    /// Killed for its memory.
    pub out_of_memory: bool,
    /// The command that says whether it is healthy, as arguments; none where the image and the stack name none.
    pub health_check: Vec<String>,
    /// `NAME=value`, also of the image.
    pub environment: Vec<String>,
    /// Where something is mounted, with what.
    pub mounts: Vec<(String, String)>,
    /// Whether it may write to any of them.
    pub writes_to_mounts: bool,
    /// What its health checks say: `starting`, `healthy`, `unhealthy`; none where there are none.
    pub health: Option<String>,
}

impl Inspected {
    /// Whether its process runs, and is healthy where something says so.
    pub fn is_well(&self) -> bool {
        let healthy = matches!(self.health.as_deref(), None | Some("healthy"));
        self.runs && !self.restarting && healthy
    }

    /// The image as the container was told it; `None`: by its id alone. The list of containers will not do: there it is the id as
    /// soon as the tag has moved.
    pub fn reference(&self) -> Option<Reference> {
        let named = !self.image.starts_with("sha256:");
        self.image.parse().ok().filter(|_| named)
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    config: Config,
    image: String,
    state: State,
    #[serde(default)]
    restart_count: u64,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    env: Option<Vec<String>>,
    healthcheck: Option<HealthCheck>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthCheck {
    test: Option<Vec<String>>,
}

impl HealthCheck {
    /// What is run inside the container.
    fn argv(self) -> Vec<String> {
        let test = self.test.unwrap_or_default();
        match test.split_first() {
            Some((kind, argv)) if kind == "CMD" => argv.to_vec(),
            Some((kind, command)) if kind == "CMD-SHELL" => {
                let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
                shell.into_iter().chain(command.iter().cloned()).collect()
            }
            // `NONE`, or what the engine did not say
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    restarting: bool,
    started_at: String,
    exit_code: i64,
    #[serde(rename = "OOMKilled")]
    out_of_memory: bool,
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(default)]
    name: String,
    #[serde(default)]
    source: String,
    destination: String,
    #[serde(default, rename = "RW")]
    writable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EngineVersion {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configured {
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageId {
    id: String,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_digests: Option<Vec<String>>,
}

impl Engine {
    /// What `DOCKER_HOST` says, else the usual socket.
    ///
    /// # Errors
    /// When it is not a socket of this host.
    pub fn of(docker_host: Option<&str>) -> Result<Self> {
        let socket = match docker_host.filter(|host| !host.is_empty()) {
            None => SOCKET,
            Some(host) => host.strip_prefix("unix://").with_context(|| {
                format!("DOCKER_HOST {host:?}: only an engine of this host is spoken to (unix://…)")
            })?,
        };
        Ok(Self {
            socket: PathBuf::from(socket),
        })
    }

    /// All containers of the Compose project in `dir`, one-off ones left out.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn containers(&self, dir: &Path) -> Result<Vec<Container>> {
        let filters = serde_json::json!({"label": [
            format!("com.docker.compose.project.working_dir={}", dir.display()),
            "com.docker.compose.oneoff=False",
        ]});
        let query = [("all", "1".to_owned()), ("filters", filters.to_string())];
        let listed: Vec<Listed> = self.get("/containers/json", &query)?;
        let found = listed.into_iter().filter_map(|mut one| {
            let config_hash = one.labels.remove("com.docker.compose.config-hash");
            Some(Container {
                service: one.labels.remove("com.docker.compose.service")?,
                config_hash: config_hash.unwrap_or_default(),
                id: one.id,
                image_id: one.image_id,
                state: one.state,
            })
        });
        Ok(found.collect())
    }

    /// A container, by its id or name.
    ///
    /// # Errors
    /// When the engine does not answer, or the container is gone.
    pub fn inspect(&self, container: &str) -> Result<Inspected> {
        let answer: Answer = self.get(&format!("/containers/{container}/json"), &[])?;
        let of = |mount: Mount| match mount.name.is_empty() {
            true => (mount.destination, mount.source),
            false => (mount.destination, mount.name),
        };
        let writes_to_mounts = answer.mounts.iter().any(|mount| mount.writable);
        let health = answer.state.health.map(|health| health.status);
        let mut mounts: Vec<_> = answer.mounts.into_iter().map(of).collect();
        mounts.sort();
        Ok(Inspected {
            image: answer.config.image,
            image_id: answer.image,
            runs: answer.state.running,
            restarting: answer.state.restarting,
            restarts: answer.restart_count,
            started_at: answer.state.started_at,
            exit_code: answer.state.exit_code,
            out_of_memory: answer.state.out_of_memory,
            health_check: answer.config.healthcheck.unwrap_or_default().argv(),
            environment: answer.config.env.unwrap_or_default(),
            mounts,
            writes_to_mounts,
            health: health.filter(|status| status != "none"),
        })
    }

    /// Whether there is a container of this name, running or not.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn has_container(&self, name: &str) -> Result<bool> {
        let filters = serde_json::json!({"name": [format!("^/{name}$")]});
        let query = [("all", "1".to_owned()), ("filters", filters.to_string())];
        let listed: Vec<serde_json::Value> = self.get("/containers/json", &query)?;
        Ok(!listed.is_empty())
    }

    /// The id of an image that is here.
    ///
    /// # Errors
    /// When the engine does not answer, or the image is not here.
    pub fn image_id(&self, image: &str) -> Result<String> {
        let image: ImageId = self.get(&format!("/images/{image}/json"), &[])?;
        Ok(image.id)
    }

    /// What an image takes on disk, in bytes; layers that others share are counted too.
    ///
    /// # Errors
    /// As [`Engine::image_id`].
    pub fn image_size(&self, image: &str) -> Result<u64> {
        let image: ImageId = self.get(&format!("/images/{image}/json"), &[])?;
        Ok(image.size)
    }

    /// `NAME=value` that an image brings.
    ///
    /// # Errors
    /// As [`Engine::image_id`].
    pub fn image_environment(&self, image: &str) -> Result<Vec<String>> {
        let image: Configured = self.get(&format!("/images/{image}/json"), &[])?;
        Ok(image
            .config
            .and_then(|config| config.env)
            .unwrap_or_default())
    }

    /// The engine's version, as `20.10.24`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn version(&self) -> Result<String> {
        let version: EngineVersion = self.get("/version", &[])?;
        Ok(version.version)
    }

    /// The digests by which `repository` knows an image; none for one that was built here.
    ///
    /// # Errors
    /// When the engine does not answer, or the image is gone.
    pub fn digests(&self, image_id: &str, repository: &Repository) -> Result<Vec<Digest>> {
        let image: Image = self.get(&format!("/images/{image_id}/json"), &[])?;
        let known = image.repo_digests.unwrap_or_default();
        let of_it = known.iter().filter_map(|known| {
            let (name, digest) = known.split_once('@')?;
            let named: Repository = name.parse().ok()?;
            if named.is(repository) {
                digest.parse().ok()
            } else {
                None
            }
        });
        Ok(of_it.collect())
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = reqwest::Client::builder()
            .unix_socket(self.socket.as_path())
            // no TLS is spoken here, and reading the host's roots costs more than the call
            .tls_certs_only([])
            .timeout(DEADLINE)
            .no_proxy()
            .build()?;
        let mut url = url::Url::parse(&format!("http://docker{path}"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = || {
            format!(
                "ask the Docker engine at {} for {path}",
                self.socket.display()
            )
        };
        let bytes = runtime
            .block_on(async {
                let mut response = client.get(url).send().await.map_err(innermost)?;
                let status = response.status();
                let mut bytes = Vec::new();
                while let Some(piece) = response.chunk().await.map_err(innermost)? {
                    anyhow::ensure!(
                        bytes.len() + piece.len() <= MAX_ANSWER,
                        "the answer is too long"
                    );
                    bytes.extend_from_slice(&piece);
                }
                anyhow::ensure!(status.is_success(), "{}", said(status.as_u16(), &bytes));
                Ok(bytes)
            })
            .with_context(asked)?;
        serde_json::from_slice(&bytes).with_context(asked)
    }
}

/// The engine's own words for a refusal.
fn said(status: u16, bytes: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let message = json.get("message").and_then(serde_json::Value::as_str);
    format!(
        "HTTP {status}: {}",
        message.unwrap_or("no reason was given")
    )
}

/// What really happened: the outer errors repeat an address that is none.
fn innermost(error: reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    anyhow::anyhow!("{cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_is_run_as_the_engine_would() {
        let argv = |test: &str| {
            let config: Config = serde_json::from_str(test).unwrap();
            config.healthcheck.unwrap_or_default().argv()
        };
        let run = r#"{"Healthcheck": {"Test": ["CMD", "/agnesd", "health"]}}"#;
        assert_eq!(argv(run), ["/agnesd", "health"]);
        let shell = r#"{"Healthcheck": {"Test": ["CMD-SHELL", "curl -f x || exit 1"]}}"#;
        assert_eq!(argv(shell), ["/bin/sh", "-c", "curl -f x || exit 1"]);
        for none in [
            r#"{"Healthcheck": {"Test": ["NONE"]}}"#,
            r#"{"Healthcheck": {}}"#,
            "{}",
        ] {
            assert_eq!(argv(none), [""; 0], "{none}");
        }
    }
}

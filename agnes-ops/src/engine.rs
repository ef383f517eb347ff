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
}

impl Container {
    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
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
            Some(Container {
                service: one.labels.remove("com.docker.compose.service")?,
                id: one.id,
                image_id: one.image_id,
                state: one.state,
            })
        });
        Ok(found.collect())
    }

    /// The image as a container was told it; `None`: by its id alone. The list of containers will not do: there it is the id as
    /// soon as the tag has moved.
    ///
    /// # Errors
    /// When the engine does not answer, or the container is gone.
    pub fn image_of(&self, container: &Container) -> Result<Option<Reference>> {
        let path = format!("/containers/{}/json", container.id);
        let inspected: Inspected = self.get(&path, &[])?;
        let image = inspected.config.image;
        Ok(image.parse().ok().filter(|_| !image.starts_with("sha256:")))
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

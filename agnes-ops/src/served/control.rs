//! The server's control socket, asked.
//!
//! Always true: no call outlives its deadline; a server that is not there is told from one that answers badly.
//!
//! Does not: know what the calls mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::{Secret, Settings};
use serde_json::Value;

/// Of one call.
const DEADLINE: Duration = Duration::from_secs(10);

/// Of one that copies all data.
const LONG: Duration = Duration::from_secs(1800);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Where the server listens for its operator.
#[derive(Debug, Clone)]
pub struct ControlSocket {
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody listens there.
    Nobody,
    /// Somebody does, and what came is no answer.
    Failed(String),
    /// The answer is a refusal: its status, and its detail for people.
    Refused(u16, String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody listens on the control socket"),
            Self::Failed(why) => write!(f, "the control socket: {why}"),
            Self::Refused(status, detail) => {
                write!(f, "the server refused (HTTP {status}): {detail}")
            }
        }
    }
}

impl ControlSocket {
    /// `$DATA_DIR/run/agnesd.sock`, below `STATE_DIR` where there is no data directory.
    pub fn of(settings: &Settings) -> Self {
        let base = if settings.data_dir.is_dir() {
            &settings.data_dir
        } else {
            &settings.state_dir
        };
        Self {
            path: base.join("run/agnesd.sock"),
        }
    }

    /// That of a server whose data directory this is.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("run/agnesd.sock"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `GET <path>`.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn get(&self, path: &str) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::GET, path, None, None, DEADLINE)
    }

    /// `GET <path>` with a bearer token, as a caller of the API.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn get_as(&self, path: &str, credential: &Secret) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::GET, path, None, Some(credential), DEADLINE)
    }

    /// `POST <path>` with a JSON body.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::POST, path, Some(body), None, DEADLINE)
    }

    /// `PUT <path>` with a JSON body.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::PUT, path, Some(body), None, DEADLINE)
    }

    /// `DELETE <path>`.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn delete(&self, path: &str) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::DELETE, path, None, None, DEADLINE)
    }

    /// As [`ControlSocket::post`], for what takes as long as the data is large.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn post_slowly(&self, path: &str, body: &Value) -> Result<Value, NoAnswer> {
        self.call(reqwest::Method::POST, path, Some(body), None, LONG)
    }

    fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
        credential: Option<&Secret>,
        deadline: Duration,
    ) -> Result<Value, NoAnswer> {
        let failed = |error: &dyn std::error::Error| NoAnswer::Failed(innermost(error));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let client = reqwest::Client::builder()
            .unix_socket(self.path.as_path())
            // no TLS is spoken here, and reading the host's roots costs more than the call
            .tls_certs_only([])
            .timeout(deadline)
            .no_proxy()
            .user_agent(concat!("agnes-ops/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(&error))?;
        runtime.block_on(async {
            let mut request = client.request(method, format!("http://localhost{path}"));
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(credential) = credential {
                request = request.bearer_auth(credential.expose());
            }
            let mut response = request.send().await.map_err(|error| {
                if error.is_connect() && is_denied(&error) {
                    NoAnswer::Failed(
                        "permission denied: root and the server's own user are answered".to_owned(),
                    )
                } else if error.is_connect() {
                    NoAnswer::Nobody
                } else {
                    failed(&error)
                }
            })?;
            let status = response.status();
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
                if bytes.len() + chunk.len() > MAX_ANSWER {
                    return Err(NoAnswer::Failed("the answer is too long".to_owned()));
                }
                bytes.extend_from_slice(&chunk);
            }
            let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if status.is_success() {
                return Ok(json);
            }
            let detail = json.get("detail").and_then(Value::as_str);
            Err(NoAnswer::Refused(
                status.as_u16(),
                detail.unwrap_or("no reason was given").to_owned(),
            ))
        })
    }
}

/// Whether the system did not let us, somewhere below.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        let io = one.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        error = one.source();
    }
    false
}

/// What really happened: the outer errors repeat an address that is none.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

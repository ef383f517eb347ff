//! A deployment in a directory of its own, and the two programs run on it as an operator runs them.
//!
//! Always true: nothing of the test machine's environment reaches a program except `PATH` and `HOME`; the directory
//! goes with the value.
//!
//! Does not: know what a test expects.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The name every deployment of the tests serves.
pub const DOMAIN: &str = "agnes.example.com";

/// `-C DIR`, with `STATE_DIR` inside it.
pub struct Deployment {
    directory: PathBuf,
    /// Keeps a directory of the deployment's own.
    _owned: Option<tempfile::TempDir>,
    settings: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// The object that `--json` printed; null without one.
    pub json: Value,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// `details.<path>`, dots for nesting.
    pub fn detail(&self, path: &str) -> &Value {
        path.split('.')
            .fold(&self.json["details"], |value, key| &value[key])
    }

    /// Panics with everything that was said when the exit code is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Panics when the outcome is another.
    #[track_caller]
    pub fn with_outcome(self, outcome: &str) -> Self {
        assert_eq!(
            self.json["outcome"], outcome,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

impl Default for Deployment {
    fn default() -> Self {
        Self::new()
    }
}

impl Deployment {
    /// One whose proof is off, with quick keys.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        Self {
            _owned: Some(directory),
            ..Self::at(&path)
        }
    }

    /// One `agnesd` of this host that listens here, without limits and without anybody who collects.
    pub fn process(address: std::net::SocketAddr) -> Self {
        Self::new()
            .with("AGNES_RUNTIME", "process")
            .with("AGNES_LISTEN", address.to_string())
            .with("METRICS_ADDR", "off")
            .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0")
            .with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "0")
    }

    /// One that polls a file of its own, where nothing is published yet.
    pub fn polling() -> Self {
        Self::new().polls_itself()
    }

    /// Polls the file that [`Deployment::publish`] writes.
    pub fn polls_itself(self) -> Self {
        let url = format!("file://{}", self.published().display());
        self.with("TLS_FULLCHAIN_URL", url)
    }

    /// Where [`Deployment::publish`] publishes.
    pub fn published(&self) -> PathBuf {
        self.dir().join("published.pem")
    }

    /// The same in a directory of somebody else's.
    pub fn at(directory: &Path) -> Self {
        let deployment = Self {
            directory: directory.to_owned(),
            _owned: None,
            settings: BTreeMap::new(),
            environment: BTreeMap::new(),
        };
        deployment
            .with("DOMAIN", DOMAIN)
            .with("DATA_DIR", "data")
            .with("TLS_SERVED_ADDRESS", "none")
            .with("TLS_KEY_TYPE", "ecdsa-p256")
    }

    /// Sets a key of `.env`.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Sets a key of `.env`.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.settings.insert(key.to_owned(), value.into());
        let lines: String = self
            .settings
            .iter()
            .map(|(key, value)| format!("{key}='{value}'\n"))
            .collect();
        std::fs::write(self.directory.join(".env"), lines).unwrap();
    }

    /// Sets a variable of the programs' environment.
    pub fn set_environment(&mut self, key: &str, value: impl Into<String>) {
        self.environment.insert(key.to_owned(), value.into());
    }

    /// Writes `agnes.toml`.
    pub fn toml(self, text: &str) -> Self {
        std::fs::write(self.directory.join("agnes.toml"), text).unwrap();
        self
    }

    /// A key of `.env`, as it was set here.
    pub fn setting(&self, key: &str) -> String {
        self.settings[key].clone()
    }

    /// `-C DIR`.
    pub fn dir(&self) -> &Path {
        &self.directory
    }

    /// `$STATE_DIR`.
    pub fn state(&self) -> PathBuf {
        self.dir().join("data/state")
    }

    /// `$STATE_DIR/certs`.
    pub fn certs(&self) -> PathBuf {
        self.state().join("certs")
    }

    /// The request that would be submitted to a CA.
    pub fn request(&self) -> Vec<u8> {
        std::fs::read(self.certs().join("cert.csr")).unwrap()
    }

    /// Publishes a chain as a file, and returns its URL.
    pub fn publish(&self, chain: impl AsRef<[u8]>) -> String {
        let path = self.published();
        std::fs::write(&path, chain).unwrap();
        format!("file://{}", path.display())
    }

    /// The command `agnes-ops -C DIR …`, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(agnes_ops());
        command
            .args(["-C", self.dir().to_str().unwrap()])
            .args(arguments);
        self.clean(&mut command);
        command
    }

    /// The command `agnesd serve -C DIR`, not started.
    pub fn server_command(&self) -> Command {
        let mut command = Command::new(agnesd());
        command.args(["serve", "-C", self.dir().to_str().unwrap()]);
        self.clean(&mut command);
        command
    }

    fn clean(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment);
        for kept in ["PATH", "HOME", "LD_LIBRARY_PATH", "DOCKER_HOST"] {
            if let Some(value) = std::env::var_os(kept)
                && !self.environment.contains_key(kept)
            {
                command.env(kept, value);
            }
        }
        command.stdin(std::process::Stdio::null());
    }

    /// Runs `agnes-ops -C DIR … --json`.
    pub fn ops(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.arg("--json");
        run(command)
    }

    /// What is under `certs/`: names, kinds, bytes, modes, times.
    pub fn certs_snapshot(&self) -> Snapshot {
        snapshot(&self.certs())
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ran {
    use std::os::unix::process::ExitStatusExt as _;
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ran {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A directory tree as it stands, modification times included.
pub type Snapshot = BTreeMap<PathBuf, (u32, i128, Vec<u8>)>;

/// Everything below a directory.
pub fn snapshot(directory: &Path) -> Snapshot {
    let mut tree = Snapshot::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let bytes = if metadata.is_symlink() {
                std::fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                // a socket, say
                Vec::new()
            };
            let modified =
                i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            tree.insert(path, (metadata.permissions().mode(), modified, bytes));
        }
    }
    tree
}

/// The built `agnes-ops`.
pub fn agnes_ops() -> PathBuf {
    built("agnes-ops")
}

/// The built `agnesd`.
pub fn agnesd() -> PathBuf {
    built("agnesd")
}

/// The built `xtask`.
pub fn xtask() -> PathBuf {
    built("xtask")
}

/// A program of the workspace, beside the test's own executable.
fn built(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os(xtask::checkout::PROGRAMS_VARIABLE) {
        return PathBuf::from(directory).join(name);
    }
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|path| path.join(name).is_file());
    let profile = profile.unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace"));
    profile.join(name)
}

//! An agnesd of the bench's own, in a deployment of its own: started, asked, looked at, stopped.
//!
//! Always true: it listens on loopback alone, without limits and without TLS; it is stopped as an operator stops it, so that
//! the next start finds a database that was closed.
//!
//! Does not: know what is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::plain_http;
use super::site::free_address;
use crate::command;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

const ADMIN: &str = "admin@example.com";
const PASSWORD: &str = "the bench's own password";

/// A directory that agnesd is started in.
pub(super) struct Home {
    agnesd: PathBuf,
    directory: PathBuf,
}

impl Home {
    /// Makes `directory` a deployment.
    pub(super) fn new(agnesd: &Path, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory.join("data/state")).context("the deployment's directory")?;
        let env = "AGNES_RUNTIME=process\nDOMAIN=localhost\nDATA_DIR=data\nMETRICS_ADDR=\n\
                   JWT_SECRET_KEY=0123456789abcdefghijklmnopqrstuvwxyz-bench\n\
                   SESSION_SECRET=zyxwvutsrqponmlkjihgfedcba9876543210-bench\n\
                   AGNES_LIMIT_UNAUTHENTICATED_PER_MIN=0\nAGNES_LIMIT_AUTHENTICATED_PER_MIN=0\n";
        fs::write(directory.join(".env"), env).context("write .env")?;
        Ok(Self {
            agnesd: agnesd.to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// `$STATE_DIR`.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.directory.join("data/state")
    }

    /// How long `agnesd audit verify` takes over the whole chain of the stopped server.
    pub(super) fn audit_verify(&self) -> Result<Duration> {
        let mut verify = Command::new(&self.agnesd);
        verify
            .args(["audit", "verify", "-C"])
            .arg(&self.directory)
            .env_clear()
            .stdin(Stdio::null());
        let started = Instant::now();
        command::capture(&mut verify)?;
        Ok(started.elapsed())
    }

    /// Starts it and waits until it is ready.
    pub(super) fn start(&self) -> Result<Server> {
        let address = free_address()?;
        let log = self.directory.join("agnesd.log");
        let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut run = Command::new(&self.agnesd);
        run.args(["serve", "-C"])
            .arg(&self.directory)
            .env_clear()
            .env("AGNES_LISTEN", address.to_string())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("log")?)
            .stderr(output);
        let started = Instant::now();
        let process = run
            .spawn()
            .with_context(|| format!("start `{}`", command::line(&run)))?;
        let mut server = Server {
            process,
            address,
            ready_after: Duration::ZERO,
        };
        while !plain_http::status(address, "/readyz").is_ok_and(|status| status == 200) {
            let ended = server.process.try_wait().context("wait")?.is_some();
            if ended || started.elapsed() > START_DEADLINE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("agnesd is not ready: {}", command::tail(&said, 10));
            }
            sleep(Duration::from_millis(1));
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }
}

/// A running one; dropping it kills it, [`Server::stop`] is the good end.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
    /// From exec to the first 200 of `/readyz`.
    pub(super) ready_after: Duration,
}

impl Server {
    /// Makes the first administrator.
    pub(super) fn bootstrap(&self) -> Result<()> {
        self.post("/auth/bootstrap").map(drop)
    }

    /// An access token of the administrator's; good for 15 minutes.
    pub(super) fn sign_in(&self) -> Result<String> {
        let answer = self.post("/auth/token")?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.context("no access_token in the answer")?.to_owned())
    }

    fn post(&self, path: &str) -> Result<Value> {
        let who = json!({ "email": ADMIN, "password": PASSWORD });
        plain_http::post(self.address, path, &who)
    }

    /// Bytes of resident memory: of its own, and of files that are mapped.
    pub(super) fn resident(&self) -> Result<Resident> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(Resident {
            bytes: field(&status, "VmRSS:")?,
            of_files: field(&status, "RssFile:")?,
        })
    }

    /// SIGTERM, and the end.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id()).context("its pid")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("stop agnesd")?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_DEADLINE {
            if let Some(status) = self.process.try_wait().context("wait")? {
                ensure!(status.success(), "agnesd ended with {status}");
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
        bail!("agnesd still runs after {STOP_DEADLINE:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // after a good end there is nobody to kill
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Memory as the kernel counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resident {
    pub(super) bytes: u64,
    pub(super) of_files: u64,
}

fn field(status: &str, name: &str) -> Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = value.and_then(|value| value.trim().split(' ').next()?.parse().ok());
    kib.map(|kib| kib * 1024)
        .with_context(|| format!("no {name} in the process's status"))
}

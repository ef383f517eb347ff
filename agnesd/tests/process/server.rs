//! One `agnesd` process, its directory, and the smallest HTTP client that shows everything.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tempfile::TempDir;

use crate::pki::{Pair, sha256};

/// Longest wait for anything that should happen at once: generous, for a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with everything one server needs.
pub(crate) struct Place {
    pub(crate) root: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            root: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(place.state()).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.state().join("certs")
    }

    /// Installs `pair` as generation `n` and flips `current` to it, as `agnes-ops` does.
    pub(crate) fn install(&self, n: u32, pair: &Pair) {
        self.install_bytes(n, &pair.key, &pair.chain);
    }

    pub(crate) fn install_bytes(&self, n: u32, key: &str, chain: &str) {
        let generation = self.certs().join("generations").join(n.to_string());
        fs::create_dir_all(&generation).unwrap();
        fs::write(generation.join("privkey.pem"), key).unwrap();
        fs::write(generation.join("fullchain.pem"), chain).unwrap();
        self.flip(n);
    }

    pub(crate) fn flip(&self, n: u32) {
        let part = self.certs().join("current.part");
        symlink(format!("generations/{n}"), &part).unwrap();
        fs::rename(part, self.certs().join("current")).unwrap();
    }

    /// `agnesd` in this place, with nothing of the test's own environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agnesd"));
        command
            .env_clear()
            .env("AGNES_DIR", self.path().join("absent"))
            .env("STATE_DIR", self.state());
        command
            .env("AGNES_LISTEN", "127.0.0.1:0")
            // servers of other tests have the default one
            .env("METRICS_ADDR", "")
            .stdin(Stdio::null());
        command
    }

    /// Runs a server that is expected not to come up.
    pub(crate) fn refused(&self, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
        let mut command = self.command();
        change(&mut command);
        let mut server = Server::spawn(self, command);
        let status = server.wait(PATIENCE);
        (status.code(), server.log())
    }

    pub(crate) fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    pub(crate) fn start_tls(&self) -> Server {
        self.start_with(|c| {
            c.env("AGNES_TLS_LISTEN", "127.0.0.1:0");
        })
    }

    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command();
        change(&mut command);
        let mut server = Server::spawn(self, command);
        server.until_serving();
        server
    }
}

/// Runs to the end and collects what was said; for `--help` and friends.
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A running server; killed on drop.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
}

impl Server {
    fn spawn(place: &Place, mut command: Command) -> Self {
        let log = place
            .path()
            .join(format!("log-{}", next_number(place.path())));
        let child = command
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            http: ([127, 0, 0, 1], 0).into(),
            https: None,
        }
    }

    fn until_serving(&mut self) {
        let line = self.until_logged("serving http");
        let address = |scheme: &str| {
            let (_, rest) = line.split_once(&format!(" {scheme}://"))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        self.http = address("http").unwrap_or_else(|| panic!("no address in {line}"));
        self.https = address("https");
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line with `text`; returns that line.
    pub(crate) fn until_logged(&mut self, text: &str) -> String {
        self.until_logged_times(text, 1)
    }

    /// Waits until `times` lines hold `text`; returns the last of them.
    pub(crate) fn until_logged_times(&mut self, text: &str, times: usize) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().filter(|l| l.contains(text)).nth(times - 1) {
                return line.to_owned();
            }
            let gone = self.child.try_wait().unwrap();
            assert!(
                Instant::now() < end && gone.is_none(),
                "waiting for {text:?} ({gone:?}):\n{log}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < end,
                "did not stop within {patience:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait(PATIENCE).code().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.http).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(
            &mut self.connect(),
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
        .unwrap()
    }

    pub(crate) fn tls(
        &self,
        client: &std::sync::Arc<ClientConfig>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        handshake(self.https.unwrap(), client).unwrap()
    }

    /// SHA-256 of the leaf that a new client is shown.
    pub(crate) fn served(&self, client: &std::sync::Arc<ClientConfig>) -> String {
        leaf_of(&self.tls(client))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

pub(crate) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Connects and completes the handshake.
pub(crate) fn handshake(
    address: SocketAddr,
    client: &std::sync::Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = connect(address)?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection =
        ClientConnection::new(client.clone(), name).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

pub(crate) fn leaf_of(stream: &StreamOwned<ClientConnection, TcpStream>) -> String {
    sha256(&stream.conn.peer_certificates().unwrap()[0])
}

/// Sends `request` and reads one response with a content length.
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str) -> std::io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    answer(stream)
}

pub(crate) fn answer(stream: &mut impl Read) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer {
        status,
        head,
        body: String::from_utf8(body).unwrap(),
    })
}

fn next_number(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

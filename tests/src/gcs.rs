//! The real `fake-gcs-server`, a Cloud Storage emulator with the JSON API.
//!
//! Always true: loopback only, in memory, killed when dropped.
//!
//! Does not: prove preconditions or checksums (the emulator ignores both; see `fetch` tests for how those are shown).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The emulator. It is killed when dropped.
pub struct Gcs {
    child: Child,
    address: SocketAddr,
}

impl Gcs {
    /// Starts it; `None`, with a line that says so, when the component is not installed.
    ///
    /// # Panics
    /// When it is missing and `CI=true`.
    pub fn start() -> Option<Self> {
        let binary = components().join("fake-gcs-server");
        if !binary.exists() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "fake-gcs-server is not at {}",
                binary.display()
            );
            println!("SKIP fake-gcs-server");
            return None;
        }
        // Between finding a free port and its use another process can take it: try again.
        (0..5)
            .find_map(|_| Self::launch(&binary))
            .or_else(|| panic!("fake-gcs-server does not start"))
    }

    fn launch(binary: &PathBuf) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let port = address.port().to_string();
        let url = format!("http://{address}");
        let child = Command::new(binary)
            .args([
                "-scheme",
                "http",
                "-host",
                "127.0.0.1",
                "-port",
                &port,
                "-backend",
                "memory",
            ])
            .args([
                "-external-url",
                &url,
                "-public-host",
                &address.to_string(),
                "-log-level",
                "error",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && server.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The endpoint, for `AGNES_GCS_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket.
    pub fn bucket(&self, name: &str) {
        let body = format!(r#"{{"name":"{name}"}}"#);
        self.post(
            "/storage/v1/b?project=test",
            "application/json",
            body.as_bytes(),
        );
    }

    /// Stores an object (`name` as it stands in a URL) and returns its generation.
    pub fn upload(&self, bucket: &str, name: &str, bytes: &[u8]) -> i64 {
        let target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
        let answer = self.post(&target, "application/octet-stream", bytes);
        let object: serde_json::Value = serde_json::from_str(&answer).unwrap();
        object["generation"].as_str().unwrap().parse().unwrap()
    }

    fn post(&self, target: &str, content_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "POST {target} HTTP/1.0\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.lines().next().unwrap_or_default().contains(" 200"),
            "{answer}"
        );
        body.to_owned()
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn components() -> PathBuf {
    let cache = || {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/agnes/components")
    };
    std::env::var_os("AGNES_COMPONENTS").map_or_else(cache, PathBuf::from)
}

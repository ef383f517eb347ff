//! A file larger than the memory that it goes through, in and out, and what the server grew by meanwhile.
//!
//! `AGNES_SOAK=1` takes 2 GB; otherwise 300 MB.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agnes_e2e::components::is_soak;
use agnes_e2e::deployment::Deployment;
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use serde_json::{Value, json};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server may grow by, in KiB.
const MOST: u64 = 64 << 10;

/// Of the process's status, in KiB. `VmHWM` is the peak of what is resident since it was last reset, mapped files included.
fn resident(daemon: &Daemon, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    value.trim().split(' ').next().unwrap().parse().unwrap()
}

async fn token(base: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = json!({"email": EMAIL, "password": PASSWORD});
    let post = async |path: &str| {
        let answer = client
            .post(format!("{base}{path}"))
            .json(&form)
            .send()
            .await;
        answer.unwrap().json::<Value>().await.unwrap()
    };
    post("/auth/bootstrap").await;
    post("/auth/token").await["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Sends one request, its body by `send`; the head of the answer, and the stream behind it.
fn ask(to: SocketAddr, head: &str, send: impl FnOnce(&mut TcpStream)) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    send(&mut stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (String::from_utf8(head).unwrap(), stream)
}

/// Hashes as the system's own program does.
struct Sha256(std::process::Child);

impl Sha256 {
    fn new() -> Self {
        let mut program = Command::new("sha256sum");
        Self(
            program
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let said = self.0.wait_with_output().unwrap();
        String::from_utf8(said.stdout).unwrap()[..64].to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_the_memory_goes_in_and_out() {
    let blocks = if is_soak() { 2000 } else { 300 };
    let address = ports::free_address();
    let deployment = Deployment::new()
        .with("AGNES_LISTEN", address.to_string())
        .with("METRICS_ADDR", "");
    std::fs::create_dir_all(deployment.dir().join("data")).unwrap();
    let mut daemon = Daemon::spawn(&mut deployment.server_command()).unwrap();
    daemon.wait_for("serving http", PATIENCE).unwrap();
    daemon.wait_listening(address, PATIENCE).unwrap();
    let token = token(&format!("http://{address}")).await;
    let head = |line: &str, more: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
        )
    };
    // one small file first: what is made once and kept is no growth
    let small = head(
        "POST /api/uploads?name=small",
        "Content-Type: application/octet-stream\r\nContent-Length: 1\r\n",
    );
    assert!(
        ask(address, &small, |stream| stream.write_all(b"x").unwrap())
            .0
            .starts_with("HTTP/1.1 201")
    );
    // from here on the peak counts anew (signing in hashes a password, which takes memory for a moment)
    std::fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
    let before = resident(&daemon, "VmRSS:");

    // no two blocks are alike
    let mut block: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    let mut hash = Sha256::new();
    let length = blocks * block.len();
    let form_head = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.c-crm.large\"\r\n\r\n";
    let form_tail = "\r\n--XX--\r\n";
    let whole = length + form_head.len() + form_tail.len();
    let more =
        format!("Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: {whole}\r\n");
    let began = Instant::now();
    let (answered, mut stream) = ask(address, &head("POST /api/uploads", &more), |stream| {
        stream.write_all(form_head.as_bytes()).unwrap();
        for n in 0..blocks {
            block[..8].copy_from_slice(&n.to_le_bytes());
            hash.take(&block);
            stream.write_all(&block).unwrap();
        }
        stream.write_all(form_tail.as_bytes()).unwrap();
    });
    let uploaded = began.elapsed();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(answered.starts_with("HTTP/1.1 201"), "{answered}{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let sha256 = hash.end();
    assert_eq!(said["sha256"], json!(sha256));
    assert_eq!(said["size_bytes"], json!(length));
    let grown_in = resident(&daemon, "VmHWM:").saturating_sub(before);

    let mut hash = Sha256::new();
    let (answered, mut stream) = ask(
        address,
        &head("GET /api/data/in.c-crm.large/download", ""),
        |_| {},
    );
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    loop {
        match stream.read(&mut block).unwrap() {
            0 => break,
            bytes => hash.take(&block[..bytes]),
        }
    }
    assert_eq!(hash.end(), sha256);
    let grown = resident(&daemon, "VmHWM:").saturating_sub(before);
    println!(
        "FIGURE transfer-growth {grown} KiB that the server's resident memory grew by at most, {} MB in and out",
        length / 1_000_000
    );
    println!(
        "{grown_in} KiB after the upload, {grown} KiB after the download, over {before} KiB; the upload took {uploaded:?}"
    );
    assert!(grown < MOST, "{grown} KiB above {before} KiB");
}

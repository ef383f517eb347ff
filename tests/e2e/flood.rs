//! A real agnesd while strangers hold its connections: idle ones by the thousand, heads and bodies that never end, handshakes
//! that never come, floods of header lines and of HTTP/2's small frames. All the while everybody else is answered.
//!
//! Each flood goes on until `/api/health` was asked twenty times, a new connection each. What is judged is that every one is
//! answered 200 within [`PATIENCE`], which no deadline of the server's own is long enough to explain; speed is not.

mod frames;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agnes_e2e::deployment::Deployment;
use agnes_e2e::ports;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For one answer of the probe.
const PATIENCE: Duration = Duration::from_secs(10);
const PROBES: usize = 20;
/// Connections that do nothing.
const IDLE: usize = 10_000;
/// Twice what the server gives a place.
const SLOW: usize = 2_000;

/// An agnesd over TLS and without; stopped when dropped.
struct Served {
    deployment: Deployment,
    http: SocketAddr,
    https: SocketAddr,
}

impl Served {
    fn new() -> Self {
        // our own side of all these connections
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        assert!(
            hard > IDLE as u64 + 1_000,
            "ten thousand connections need ulimit -Hn above {hard}"
        );
        let (http, https) = (ports::free_address(), ports::free_address());
        let deployment = Deployment::new()
            .with("AGNES_RUNTIME", "process")
            .with("AGNES_LISTEN", http.to_string())
            .with("AGNES_TLS_LISTEN", https.to_string())
            .with("TLS_SERVED_ADDRESS", https.to_string())
            .with("METRICS_ADDR", "")
            .with("JWT_SECRET_KEY", "a-signing-key-for-the-flood-3d1f0a9")
            .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0");
        let served = Self {
            deployment,
            http,
            https,
        };
        served.deployment.ops(&["up"]).exits(0);
        served
    }

    fn pid(&self) -> String {
        let file = self.deployment.state().join("agnesd.pid");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// The most memory it ever had, in MiB.
    fn peak_mib(&self) -> u64 {
        let status = Path::new("/proc").join(self.pid()).join("status");
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() / 1024
    }

    fn figure(&self, flood: &str, connections: usize) {
        println!("FIGURE {flood}-connections {connections} that strangers held or made");
        println!(
            "FIGURE {flood}-rss {} MiB at most, all floods before it included",
            self.peak_mib()
        );
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

/// Asks for the health, on a connection of its own each time.
async fn is_answered(address: SocketAddr, during: &str) {
    for probe in 0..PROBES {
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            let head = "GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, asked).await;
        match answer {
            Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => {}
            other => panic!("probe {probe} during {during}: {other:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Strangers, each of whom begins anew when it is cut, until stopped.
struct Flood {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl Flood {
    /// `attack` is one connection's life; it ends when the server ends it.
    fn of<F>(strangers: usize, attack: fn(TcpStream) -> F, address: SocketAddr) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = JoinSet::new();
        for _ in 0..strangers {
            let (stop, made) = (Arc::clone(&stop), Arc::<AtomicUsize>::clone(&made));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(address)).await {
                        made.fetch_add(1, Ordering::Relaxed);
                        let _ = attack(stream).await;
                    }
                    // a stranger's haste is bounded by its own line
                    sleep(Duration::from_millis(500)).await;
                }
            });
        }
        Self { tasks, stop, made }
    }

    /// Until so many connections were made: then it is under way.
    async fn is_under_way(&self, connections: usize) {
        let begun = async {
            while self.made.load(Ordering::Relaxed) < connections {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), begun)
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "{} connections were made",
                    self.made.load(Ordering::Relaxed)
                )
            });
    }

    async fn ends(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        self.made.load(Ordering::Relaxed)
    }
}

/// Reads until the other side has enough.
async fn until_cut(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut answer = [0; 4096];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    until_cut(&mut stream).await
}

async fn slow_head(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET /api/version HTTP/1.1\r\nHost: x\r\n")
        .await?;
    loop {
        stream.write_all(b"X-Slow: y\r\n").await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn slow_body(mut stream: TcpStream) -> std::io::Result<()> {
    let head = "POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(b" ").await?;
        sleep(Duration::from_secs(1)).await;
    }
}

/// Takes nothing of what it asks for.
async fn slow_reader(mut stream: TcpStream) -> std::io::Result<()> {
    for _ in 0..200 {
        stream
            .write_all(b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
    }
    sleep(Duration::from_secs(60)).await;
    Ok(())
}

async fn endless_header(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        .await?;
    loop {
        stream.write_all(&[b'a'; 16 * 1024]).await?;
    }
}

async fn many_headers(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\n")
        .await?;
    for n in 0..20_000 {
        stream.write_all(format!("X-{n}: 1\r\n").as_bytes()).await?;
    }
    stream.write_all(b"\r\n").await?;
    until_cut(&mut stream).await
}

/// A handshake's record that is announced and does not come.
async fn endless_handshake(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc])
        .await?;
    loop {
        stream.write_all(&[3]).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let served = Served::new();
    for (address, name) in [(served.http, "idle"), (served.https, "idle-tls")] {
        let flood = Flood::of(IDLE, idle, address);
        flood.is_under_way(IDLE).await;
        is_answered(served.http, name).await;
        served.figure(name, flood.ends().await);
    }
    is_answered(served.http, "nothing any more").await;
    assert!(served.peak_mib() < 512, "{} MiB", served.peak_mib());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_endless_clients_keep_nobody_out() {
    let served = Served::new();
    macro_rules! flooded {
        ($name:literal, $attack:expr, $address:expr, $strangers:expr) => {
            let flood = Flood::of($strangers, $attack, $address);
            flood.is_under_way($strangers).await;
            is_answered(served.http, $name).await;
            served.figure($name, flood.ends().await);
        };
    }
    flooded!("slow-heads", slow_head, served.http, SLOW);
    flooded!("slow-bodies", slow_body, served.http, SLOW);
    flooded!("slow-readers", slow_reader, served.http, 300);
    flooded!("endless-headers", endless_header, served.http, 300);
    flooded!("many-headers", many_headers, served.http, 300);
    flooded!("handshakes", endless_handshake, served.https, SLOW);
    assert!(served.peak_mib() < 768, "{} MiB", served.peak_mib());
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_frames_keep_nobody_out() {
    let served = Served::new();
    for kind in frames::Kind::ALL {
        let flood = frames::flood(kind, served.https, 16).await;
        is_answered(served.http, kind.name()).await;
        let frames = flood.ends().await;
        println!("FIGURE {}-frames {frames} sent", kind.name());
        assert!(
            frames > 1_000,
            "{}: {frames} frames are no flood",
            kind.name()
        );
    }
    served.figure("http2", 16);
    assert!(served.peak_mib() < 512, "{} MiB", served.peak_mib());
}

//! A web server that publishes what a test wants, and fails in the ways that real ones do; and a CA for it.
//!
//! Always true: it listens on loopback only, on a port of its own, and is gone when dropped; every request is logged.
//! Its certificates are made by OpenSSL, independently of the product's own generator.
//!
//! Does not: keep connections alive (an answer is a connection, which makes scripts countable).

mod ca;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

pub use ca::{CURRENT, Ca, Identity, Validity};

/// How one connection is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 with these bytes; 304 when `If-None-Match` is this entity tag.
    Body {
        /// What is published.
        bytes: Vec<u8>,
        /// With its quotes.
        etag: Option<String>,
    },
    /// Any status, header lines and body.
    Status {
        /// HTTP status.
        code: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// Body.
        body: Vec<u8>,
    },
    /// Waits, then answers as told.
    Late(Duration, Box<Answer>),
    /// 200 and the bytes, one at a time with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Takes the request and says nothing, for ever.
    Never,
    /// 200, chunked, without an end.
    Endless,
    /// 200 that announces one length and sends these bytes, then closes.
    Length(u64, Vec<u8>),
    /// Takes the request and sends these bytes, which need not be HTTP.
    Raw(Vec<u8>),
    /// Sends these bytes in place of a TLS handshake.
    NoTls(Vec<u8>),
    /// Accepts the connection and closes it before a handshake.
    CloseAtOnce,
    /// Accepts the connection and leaves the handshake unanswered, for ever.
    NoHandshake,
}

impl Answer {
    /// 200 without an entity tag.
    pub fn ok(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Body {
            bytes: bytes.into(),
            etag: None,
        }
    }

    /// A bare status.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body: b"<html>no</html>".to_vec(),
        }
    }

    /// A status with one header.
    pub fn with_header(code: u16, name: &str, value: &str) -> Self {
        Self::Status {
            code,
            headers: vec![(name.into(), value.into())],
            body: Vec::new(),
        }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`…
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As many bytes as `Content-Length` says.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    script: Mutex<VecDeque<Answer>>,
    handler: Option<Box<Handler>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<usize>,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

/// The server. It stops when dropped.
pub struct HttpsSource {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpsSource {
    /// Serves `https://` with this identity; 404 until [`answer`](Self::answer) is called.
    pub fn start(identity: &Identity) -> Self {
        let certs = CertificateDer::pem_slice_iter(&identity.cert_pem)
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(&identity.key_pem).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certs, key)
            .unwrap();
        Self::launch(Some(Arc::new(config).into()), None)
    }

    /// Serves plain `http://`, answered by `handler`.
    pub fn start_plain(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::launch(None, Some(Box::new(handler)))
    }

    fn launch(tls: Option<tokio_rustls::TlsAcceptor>, handler: Option<Box<Handler>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let script = Mutex::new(VecDeque::from([Answer::status(404)]));
        let shared = Arc::new(Shared {
            script,
            handler,
            requests: Mutex::default(),
            connections: Mutex::default(),
            tls,
        });
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! { () = accept(listener, serving) => {}, _ = stopped => {} }
            });
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Every further connection is answered so.
    pub fn answer(&self, answer: Answer) {
        self.script([answer]);
    }

    /// One answer a connection, in order; the last one stays.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        *lock(&self.shared.script) = answers.into_iter().collect();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT` + `path` (plain servers: `http://127.0.0.1:PORT`).
    pub fn url(&self, path: &str) -> String {
        match self.shared.tls {
            Some(_) => format!("https://localhost:{}{path}", self.address.port()),
            None => format!("http://{}{path}", self.address),
        }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The connections so far, whatever became of them.
    pub fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }
}

impl Drop for HttpsSource {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        *lock(&shared.connections) += 1;
        tokio::spawn(connection(stream, shared.clone()));
    }
}

async fn connection(mut stream: tokio::net::TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let answer = {
        let mut script = lock(&shared.script);
        if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        }
    };
    let answer = answer.unwrap_or(Answer::status(404));
    match (&answer, &shared.tls) {
        (Answer::CloseAtOnce, _) => Ok(()),
        (Answer::NoHandshake, _) => std::future::pending().await,
        (Answer::NoTls(bytes), _) => {
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(bytes).await?;
            stream.shutdown().await
        }
        (_, Some(tls)) => exchange(tls.accept(stream).await?, answer, &shared).await,
        (_, None) => exchange(stream, answer, &shared).await,
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    shared: &Shared,
) -> std::io::Result<()> {
    let request = read_request(&mut stream).await?;
    let mut answer = shared
        .handler
        .as_ref()
        .map_or(answer, |handler| handler(&request));
    let condition = request.header("if-none-match").map(str::to_owned);
    lock(&shared.requests).push(request);
    while let Answer::Late(pause, then) = answer {
        tokio::time::sleep(pause).await;
        answer = *then;
    }
    write_answer(&mut stream, answer, condition).await?;
    stream.shutdown().await
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    let length = request.header("content-length").map(str::parse::<usize>);
    if let Some(Ok(length)) = length {
        request.body = vec![0; length.min(1 << 20)];
        stream.read_exact(&mut request.body).await?;
    }
    Ok(request)
}

async fn write_answer(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: Answer,
    condition: Option<String>,
) -> std::io::Result<()> {
    match answer {
        Answer::Body { etag, .. } if etag.is_some() && etag == condition => {
            let etag = etag.unwrap_or_default();
            let head =
                format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
        Answer::Body { bytes, etag } => {
            let etag = etag.map(|e| format!("ETag: {e}\r\n")).unwrap_or_default();
            respond(stream, "200 OK", &etag, bytes.len() as u64, &bytes).await
        }
        Answer::Status {
            code,
            headers,
            body,
        } => {
            let headers: String = headers
                .iter()
                .map(|(n, v)| format!("{n}: {v}\r\n"))
                .collect();
            respond(
                stream,
                &format!("{code} Status"),
                &headers,
                body.len() as u64,
                &body,
            )
            .await
        }
        Answer::Length(announced, bytes) => respond(stream, "200 OK", "", announced, &bytes).await,
        Answer::Drip(bytes, pause) => {
            respond(stream, "200 OK", "", bytes.len() as u64, b"").await?;
            for byte in bytes {
                tokio::time::sleep(pause).await;
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
            }
            Ok(())
        }
        Answer::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            let mut chunk = b"2000\r\n".to_vec();
            chunk.resize(chunk.len() + 0x2000, b'x');
            chunk.extend_from_slice(b"\r\n");
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Answer::Raw(bytes) => stream.write_all(&bytes).await,
        Answer::Never => std::future::pending().await,
        Answer::Late(..) | Answer::NoTls(_) | Answer::CloseAtOnce | Answer::NoHandshake => Ok(()),
    }
}

async fn respond(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    headers: &str,
    length: u64,
    body: &[u8],
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

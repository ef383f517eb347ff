//! Each limit on its own, small enough to wait for.

use std::time::Instant;

use axum::routing::get;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";

async fn listen(limits: Limits, tls: Option<Arc<Served>>) -> (SocketAddr, watch::Sender<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopping) = watch::channel(());
    let router = Router::new().route("/ok", get(|| std::future::ready("ok")));
    tokio::spawn(
        Listener {
            socket,
            address,
            tls,
            limits,
        }
        .accept(router, stopping),
    );
    (address, stop)
}

/// A pair in use, the directory it was read from, and the certificate to trust.
fn served() -> (tempfile::TempDir, Arc<Served>, CertificateDer<'static>) {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("privkey.pem", made.signing_key.serialize_pem()),
        ("fullchain.pem", made.cert.pem()),
    ] {
        std::io::Write::write_all(
            &mut std::fs::File::create(dir.path().join(name)).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
    }
    let served = Served::load(dir.path()).unwrap();
    (dir, Arc::new(served), made.cert.der().clone())
}

/// How long the server keeps a connection on which `bytes` were sent and nothing else.
async fn kept(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let began = Instant::now();
    let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "still open after 10 s");
    began.elapsed()
}

#[tokio::test]
async fn a_client_that_never_finishes_a_request_head_is_let_go() {
    let (address, _stop) = listen(
        Limits {
            head: SHORT,
            ..Limits::default()
        },
        None,
    )
    .await;
    for bytes in [&b""[..], b"G", b"GET /ok HTTP/1.1\r\nHost: x\r\nX: "] {
        let kept = kept(address, bytes).await;
        assert!(
            kept >= SHORT / 2 && kept < Duration::from_secs(5),
            "{bytes:?}: {kept:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_connection_is_let_go_after_its_last_request() {
    let (address, _stop) = listen(
        Limits {
            head: SHORT,
            ..Limits::default()
        },
        None,
    )
    .await;
    let kept = kept(address, REQUEST).await;
    assert!(
        kept >= SHORT / 2 && kept < Duration::from_secs(5),
        "{kept:?}"
    );
}

#[tokio::test]
async fn a_client_that_never_finishes_the_handshake_is_let_go() {
    let (_dir, tls, _) = served();
    let limits = Limits {
        handshake: SHORT,
        head: Duration::from_secs(60),
        ..Limits::default()
    };
    let (address, _stop) = listen(limits, Some(tls)).await;
    for bytes in [&b""[..], &[0x16, 3, 1]] {
        let kept = kept(address, bytes).await;
        assert!(
            kept >= SHORT / 2 && kept < Duration::from_secs(5),
            "{bytes:?}: {kept:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_negotiates_h2_and_says_nothing_is_let_go() {
    let (_dir, tls, root) = served();
    let (address, _stop) = listen(
        Limits {
            head: SHORT,
            ..Limits::default()
        },
        Some(tls),
    )
    .await;
    let mut stream = h2_without_a_word(address, root).await;
    let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "still open after 5 s");
}

#[tokio::test]
async fn above_the_cap_connections_wait_for_a_place() {
    let (address, _stop) = listen(
        Limits {
            connections: 1,
            ..Limits::default()
        },
        None,
    )
    .await;
    let first = TcpStream::connect(address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    assert!(
        timeout(SHORT, second.read_exact(&mut byte)).await.is_err(),
        "served above the cap"
    );
    drop(first);
    timeout(Duration::from_secs(5), second.read_exact(&mut byte))
        .await
        .expect("its turn comes")
        .unwrap();
}

#[tokio::test]
async fn a_route_is_told_who_is_at_the_other_end() {
    let router = Router::new().fallback(|request: Request<Body>| async move {
        let known = request.extensions().get::<Connection>();
        format!("{known:?}")
    });
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (_stop, stopping) = watch::channel(());
    let (tls, limits) = (None, Limits::default());
    let listener = Listener {
        socket,
        address,
        tls,
        limits,
    };
    tokio::spawn(listener.accept(router, stopping));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let known = Connection {
        peer: stream.local_addr().unwrap(),
        tls: false,
        ca_leaf: false,
    };
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("{:?}", Some(known))), "{answer}");
}

/// TLS with ALPN h2, then silence.
async fn h2_without_a_word(
    address: SocketAddr,
    root: CertificateDer<'static>,
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap()
}

//! Each limit on its own, small enough to wait for.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
/// More than the kernel's buffers of both ends hold.
const LARGE: usize = 32 << 20;
/// For whatever must happen in the end, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";

async fn listen(limits: Limits, tls: Option<Arc<Served>>) -> (SocketAddr, watch::Sender<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopping) = watch::channel(());
    let router = Router::new()
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_secs(1)).await;
                "ok"
            }),
        )
        .route("/ok", get(|| std::future::ready("ok")))
        .route("/large", get(|| std::future::ready("x".repeat(LARGE))))
        .route("/echo", post(|text: String| std::future::ready(text)));
    tokio::spawn(
        Listener {
            socket,
            address,
            tls,
            serves: "api",
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

/// Waits until the server has let go of every connection: the cut ones and those that a stop closes.
async fn all_gone(stop: &watch::Sender<()>) {
    timeout(PATIENCE, stop.closed())
        .await
        .expect("a connection is still held");
}

/// A client that sends `head` one byte at a time, never pausing for as long as the deadline.
async fn drip(stream: &mut (impl AsyncWriteExt + AsyncReadExt + Unpin), head: &[u8]) -> usize {
    let mut sent = 0;
    for byte in head.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        sent += 1;
        let mut answer = [0];
        let read = timeout(Duration::from_millis(20), stream.read(&mut answer));
        if let Ok(ended) = read.await {
            assert!(!matches!(ended, Ok(1)), "answered");
            break;
        }
        assert!(sent < 1000, "still open");
    }
    sent
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
    let mut stream = with_tls(address, root, b"h2").await;
    let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "still open after 5 s");
}

#[tokio::test]
async fn above_the_cap_an_idle_connection_makes_room_and_one_that_is_worked_for_does_not() {
    let (address, _stop) = listen(
        Limits {
            connections: 1,
            ..Limits::default()
        },
        None,
    )
    .await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let gone = timeout(PATIENCE, idle.read(&mut [0])).await.unwrap();
    assert!(!gone.is_ok_and(|bytes| bytes > 0), "answered unasked");
    sleep(Duration::from_millis(50)).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    assert!(
        timeout(SHORT, third.read_exact(&mut byte)).await.is_err(),
        "served above the cap"
    );
    // its answer is whole, and then it is idle as others are
    timeout(PATIENCE, busy.read_exact(&mut byte))
        .await
        .unwrap()
        .unwrap();
    timeout(PATIENCE, third.read_exact(&mut byte))
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
        serves: "api",
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

/// TLS that speaks `protocol`, and nothing said yet.
async fn with_tls(
    address: SocketAddr,
    root: CertificateDer<'static>,
    protocol: &[u8],
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_head_that_comes_one_byte_at_a_time_is_cut() {
    let limits = Limits {
        head: SHORT,
        ..Limits::default()
    };
    let (address, stop) = listen(limits, None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"GET /ok HTTP/1.1\r\nHost: x\r\nX-";
    stream.write_all(head).await.unwrap();
    let sent = drip(&mut stream, b"a").await;
    assert!(sent > 1, "cut at the first byte");
    stop.send(()).unwrap();
    all_gone(&stop).await;
}

#[tokio::test]
async fn a_handshake_that_comes_one_byte_at_a_time_is_cut() {
    let (_dir, tls, _) = served();
    let limits = Limits {
        handshake: SHORT,
        head: Duration::from_secs(60),
        ..Limits::default()
    };
    let (address, _stop) = listen(limits, Some(tls)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // a record that is as long as it may be, and of a handshake
    stream
        .write_all(&[0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb])
        .await
        .unwrap();
    assert!(drip(&mut stream, &[0]).await > 1);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let (_dir, tls, root) = served();
    let limits = Limits {
        send: SHORT,
        ..Limits::default()
    };
    for connection in ["close", "keep-alive"] {
        let get = format!("GET /large HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n");
        let (address, stop) = listen(limits, None).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut taken = [0; 15];
        stream.read_exact(&mut taken).await.unwrap();
        assert_eq!(&taken, b"HTTP/1.1 200 OK");
        // without a stop: it is cut because of what it does not do
        sleep(SHORT * 5).await;
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .unwrap();
        assert!(rest.len() < LARGE, "{connection}: it got everything");
        stop.send(()).unwrap();
        all_gone(&stop).await;
    }
    let (address, stop) = listen(limits, Some(tls)).await;
    let mut stream = with_tls(address, root, b"http/1.1").await;
    let get = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(get).await.unwrap();
    sleep(SHORT * 5).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.len() < LARGE, "TLS: it got everything");
    stop.send(()).unwrap();
    all_gone(&stop).await;
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
    let limits = Limits {
        send: SHORT * 3,
        ..Limits::default()
    };
    let (address, _stop) = listen(limits, None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let get = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let (mut got, mut buffer) = (0, vec![0; 256 << 10]);
    let began = Instant::now();
    loop {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap();
        let read = read.unwrap();
        if read == 0 {
            break;
        }
        got += read;
        // slower in all than the deadline, and never idle for as long as it
        if began.elapsed() < SHORT * 8 {
            sleep(SHORT / 4).await;
        }
    }
    assert!(got > LARGE, "{got}");
}

#[tokio::test]
async fn an_idle_http2_connection_is_let_go_though_it_answers_pings() {
    let (_dir, tls, root) = served();
    let limits = Limits {
        head: SHORT,
        ..Limits::default()
    };
    let (address, stop) = listen(limits, Some(tls)).await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&root).unwrap()])
        .no_proxy()
        .pool_idle_timeout(None)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/ok", address.port());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.version(), axum::http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "ok");
    // one receiver is the listener's own, any other a connection's
    let began = Instant::now();
    while stop.receiver_count() > 1 {
        assert!(began.elapsed() < PATIENCE, "still held");
        sleep(SHORT / 4).await;
    }
}

#[tokio::test]
async fn a_stop_waits_for_requests_in_flight_and_for_nothing_else() {
    let (_dir, tls, root) = served();
    // nothing here ends by a deadline
    let never = Duration::from_secs(3600);
    let limits = Limits {
        handshake: never,
        head: never,
        send: never,
        ..Limits::default()
    };
    let (address, stop) = listen(limits, None).await;
    let (secure, stop_tls) = listen(limits, Some(tls)).await;
    let begin = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    let mut idle = [
        begin(b"").await,
        begin(b"G").await,
        begin(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Len").await,
    ];
    let mut kept = begin(REQUEST).await;
    let mut answer = [0; 15];
    kept.read_exact(&mut answer).await.unwrap();
    let mut half_shaken = TcpStream::connect(secure).await.unwrap();
    half_shaken.write_all(&[0x16, 3]).await.unwrap();
    let mut silent = with_tls(secure, root, b"h2").await;
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";
    let mut asked = begin(head).await;
    // all of it is read by the server before the stop
    sleep(SHORT).await;

    stop.send(()).unwrap();
    stop_tls.send(()).unwrap();
    for stream in &mut idle {
        let mut nothing = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut nothing)).await;
        ended.expect("still open").unwrap();
        assert!(nothing.is_empty());
    }
    timeout(PATIENCE, kept.read_to_end(&mut Vec::new()))
        .await
        .expect("still open")
        .unwrap();
    let _ = timeout(PATIENCE, half_shaken.read_to_end(&mut Vec::new()))
        .await
        .expect("still open");
    let _ = timeout(PATIENCE, silent.read_to_end(&mut Vec::new()))
        .await
        .expect("still open");
    all_gone(&stop_tls).await;

    // the one that was asked is the one that is waited for
    assert!(timeout(SHORT, stop.closed()).await.is_err(), "it was cut");
    asked.write_all(b"67890").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, asked.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.ends_with("1234567890"), "{answer}");
    all_gone(&stop).await;
}

#[tokio::test]
async fn a_stop_lets_an_answer_that_is_being_taken_finish() {
    let (address, stop) = listen(Limits::default(), None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let get = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let mut taken = [0; 15];
    stream.read_exact(&mut taken).await.unwrap();
    stop.send(()).unwrap();
    sleep(SHORT).await;
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    read.unwrap().unwrap();
    assert!(rest.len() > LARGE, "{}", rest.len());
    all_gone(&stop).await;
}

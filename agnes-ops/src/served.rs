//! What is served now: one TLS handshake, looked at from outside, and what the server says of itself (`control`).
//!
//! Always true: whatever certificate is presented is taken and reported; trust is not this module's question.
//!
//! Does not: send a byte after the handshake.

mod audit_log;
mod control;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

pub use audit_log::{Row, Rows};
pub use control::{ControlSocket, NoAnswer};

/// What a handshake found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// This chain, DER, leaf first.
    Chain(Vec<Vec<u8>>),
    /// Nobody listens there.
    Nothing,
    /// Somebody does, and the handshake failed.
    Failed(String),
}

/// Connects to `address` (`host:port`), offers `name` as SNI, and reports the chain that is presented.
pub fn look(address: &str, name: &str, deadline: Duration) -> Served {
    let until = Instant::now() + deadline;
    let stream = match connect(address, until) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Served::Nothing,
        Err(error) => return Served::Failed(error.to_string()),
    };
    match handshake(stream, address, name, until) {
        Ok(chain) => Served::Chain(chain),
        Err(error) => Served::Failed(error.to_string()),
    }
}

/// The status of `GET <path>` at `address` (`host:port`) over TLS, asked for as `name`.
///
/// # Errors
/// One clause.
pub fn status(address: &str, name: &str, path: &str, deadline: Duration) -> Result<u16, String> {
    let one = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| format!("{address}: no such address"))?;
    let asked = (|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = reqwest::Client::builder()
            // which certificate it is, the handshake's own look says
            .tls_danger_accept_invalid_certs(true)
            .resolve(name, one)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(deadline)
            .build()
            .map_err(io::Error::other)?;
        let url = format!("https://{name}:{}{path}", one.port());
        let answer = runtime.block_on(async { client.get(url).send().await });
        Ok::<_, io::Error>(answer.map_err(io::Error::other)?.status().as_u16())
    })();
    asked.map_err(|error| error.to_string())
}

/// Does the server say over plain HTTP that it is ready (`GET /readyz` → 200)?
pub fn is_ready(address: &SocketAddr, deadline: Duration) -> bool {
    let asked = (|| {
        let mut stream = TcpStream::connect_timeout(address, deadline)?;
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut status = [0_u8; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, io::Error>(&status == b"HTTP/1.1 200")
    })();
    asked.unwrap_or(false)
}

fn connect(address: &str, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address}: no address"));
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn handshake(
    mut stream: TcpStream,
    address: &str,
    name: &str,
    until: Instant,
) -> io::Result<Vec<Vec<u8>>> {
    stream.set_nodelay(true)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakeAnything(provider)))
        .with_no_client_auth();
    // A wildcard is not a name one can ask for; any label in its place is.
    let name = name.replacen('*', "wildcard", 1);
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while client.is_handshaking() {
        // one read or write at a time, so that a server that answers byte by byte cannot outlast the deadline
        let moved = if client.wants_write() {
            stream.set_write_timeout(Some(left(until)?))?;
            client.write_tls(&mut stream)
        } else {
            stream.set_read_timeout(Some(left(until)?))?;
            client.read_tls(&mut stream)
        };
        match moved {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed in the middle of the handshake",
                ));
            }
            Ok(_) => client.process_new_packets().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{address}: no answer in time"),
                ));
            }
            Err(error) => return Err(error),
        };
    }
    let chain = client
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|der| der.to_vec())
        .collect();
    client.send_close_notify();
    let _ = client.write_tls(&mut stream);
    Ok(chain)
}

fn left(until: Instant) -> io::Result<Duration> {
    until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
}

/// Accepts any certificate, but not a server that does not hold its key.
#[derive(Debug)]
struct TakeAnything(Arc<CryptoProvider>);

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

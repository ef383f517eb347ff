//! What a TLS client sees: the leaf that is presented, and whether a strict one accepts the chain.
//!
//! Always true: judged by OpenSSL, not by the product's own code.
//!
//! Does not: speak HTTP.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use crate::authority::sha256;
use crate::deployment::DOMAIN;

/// SHA-256 of the leaf that `address` presents for the deployment's name.
pub fn served_leaf(address: SocketAddr) -> Result<String, String> {
    let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let configuration = connector
        .build()
        .configure()
        .unwrap()
        .verify_hostname(false);
    let tls = configuration
        .connect(DOMAIN, stream)
        .map_err(|error| error.to_string())?;
    tls.ssl()
        .peer_certificate()
        .map(|leaf| sha256(&leaf))
        .ok_or_else(|| "no certificate".into())
}

/// Does a client that trusts only `root_pem` accept what `address` presents for the deployment's name?
pub fn accepted_by_strict_client(address: SocketAddr, root_pem: &str) -> Result<(), String> {
    let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let root = openssl::x509::X509::from_pem(root_pem.as_bytes()).unwrap();
    let mut store = openssl::x509::store::X509StoreBuilder::new().unwrap();
    store.add_cert(root).unwrap();
    connector.set_cert_store(store.build());
    connector
        .build()
        .connect(DOMAIN, stream)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Posts the configuration of a Caddy back to it: after that it ignores SIGUSR1.
pub fn post_configuration(admin: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let config = client
            .get(format!("{admin}/config/"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let request = client
            .post(format!("{admin}/load"))
            .header("content-type", "application/json");
        let answer = request
            .header("cache-control", "must-revalidate")
            .body(config)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    });
}

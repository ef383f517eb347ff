//! Clients that open a new TLS connection for each request, as many at once as a test wants.
//!
//! Always true: each request is a connection of its own, verified strictly (chain, name, key) by OpenSSL, and counts once:
//! answered, refused (nobody listened), or lost (somebody listened, and the answer did not come whole); the threads end
//! with the value.
//!
//! Does not: try anything again. What a client library would paper over is what is counted here.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};

use crate::deployment::DOMAIN;

/// Far above what an answer takes on a busy machine; what takes longer is lost to its client.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Nobody listened.
    Refused,
    /// Somebody did, and no whole answer came.
    Lost(String),
    /// An answer came, another than expected.
    Wrong(String),
}

/// What is asked, of whom, and which answer is right.
#[derive(Debug, Clone)]
pub struct Question {
    /// The TLS listener.
    pub address: SocketAddr,
    /// The only root that is trusted, PEM.
    pub root_pem: String,
    /// Path of the GET.
    pub path: &'static str,
    /// The body of a right answer.
    pub body: &'static str,
}

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that got the right answer.
    pub answered: usize,
    /// The others, by what happened.
    pub failures: BTreeMap<Failure, usize>,
}

impl Tally {
    /// Requests made.
    pub fn requests(&self) -> usize {
        self.answered + self.failed()
    }

    /// Requests without the right answer.
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }
}

/// Running clients.
pub struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<BTreeMap<Failure, usize>>>,
}

impl Clients {
    /// Starts so many, each asking again as soon as it has its answer.
    pub fn start(count: usize, question: &Question) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let connector = strict(&question.root_pem);
        let threads = (0..count)
            .map(|_| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                let (connector, question) = (connector.clone(), question.clone());
                std::thread::spawn(move || ask_until(&stop, &answered, &connector, &question))
            })
            .collect();
        Self {
            stop,
            answered,
            threads,
        }
    }

    /// Right answers so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends them, each after its last request.
    ///
    /// # Panics
    /// When a client panicked.
    pub fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for thread in self.threads.drain(..) {
            for (failure, count) in thread.join().expect("clients do not panic") {
                *tally.failures.entry(failure).or_default() += count;
            }
        }
        tally.answered = self.answered();
        tally
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn ask_until(
    stop: &AtomicBool,
    answered: &AtomicUsize,
    connector: &SslConnector,
    question: &Question,
) -> BTreeMap<Failure, usize> {
    let mut failures = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        match ask_with(connector, question) {
            Ok(()) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                let refused = failure == Failure::Refused;
                *failures.entry(failure).or_default() += 1;
                if refused {
                    // a server that is away shall not be counted a million times
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
    failures
}

/// One request on a connection of its own.
///
/// # Errors
/// [`Failure`].
pub fn ask(question: &Question) -> Result<(), Failure> {
    ask_with(&strict(&question.root_pem), question)
}

fn strict(root_pem: &str) -> SslConnector {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let root = openssl::x509::X509::from_pem(root_pem.as_bytes()).unwrap();
    let mut store = openssl::x509::store::X509StoreBuilder::new().unwrap();
    store.add_cert(root).unwrap();
    connector.set_cert_store(store.build());
    connector.build()
}

fn ask_with(connector: &SslConnector, question: &Question) -> Result<(), Failure> {
    let lost = |step: &str, why: String| Failure::Lost(format!("{step}: {why}"));
    let stream = TcpStream::connect_timeout(&question.address, PATIENCE).map_err(|error| {
        if error.kind() == ErrorKind::ConnectionRefused {
            Failure::Refused
        } else {
            lost("connect", error.to_string())
        }
    })?;
    let limits = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    limits.map_err(|error| lost("connect", error.to_string()))?;
    let mut tls = connector
        .connect(DOMAIN, stream)
        .map_err(|error| lost("handshake", error.to_string()))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n",
        question.path
    );
    tls.write_all(request.as_bytes())
        .map_err(|error| lost("request", error.to_string()))?;
    let mut answer = Vec::new();
    // A server that closes the socket without a TLS goodbye after a whole answer has answered.
    let end = tls.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let right = answer.starts_with("HTTP/1.1 200 ")
        && answer
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body == question.body);
    match end {
        _ if right => Ok(()),
        Ok(_) if !answer.is_empty() => Err(Failure::Wrong(answer.chars().take(80).collect())),
        Ok(_) => Err(lost("answer", "closed before it".to_owned())),
        Err(error) => Err(lost("answer", error.to_string())),
    }
}

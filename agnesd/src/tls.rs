//! The served key and certificate: one pair in memory, replaced whole.
//!
//! Always true: what is served was checked as a pair; a refused candidate leaves the pair in use untouched; a connection
//! keeps the pair that it was accepted with, so a swap ends none. Each pair has a TLS session cache of its own, so that no
//! client resumes into a certificate that was replaced.
//!
//! Does not: write files, decide policy on names, dates or chains (`agnes-ops` does before it installs).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;

pub(crate) mod pair;

use pair::{Leaf, Pair};

/// Why a pair on disk is not served: one line without any byte of the files' contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pair in use and the place where the next one is found.
#[derive(Debug)]
pub(crate) struct Served {
    certs_dir: PathBuf,
    current: RwLock<Arc<Pair>>,
}

impl Served {
    /// Reads and checks the pair under `certs_dir` (`$STATE_DIR/certs`). Blocking.
    ///
    /// # Errors
    /// [`Refused`] when there is no sound pair.
    pub(crate) fn load(certs_dir: &Path) -> Result<Self, Refused> {
        let pair = pair::load(certs_dir)?;
        Ok(Self {
            certs_dir: certs_dir.to_owned(),
            current: RwLock::new(Arc::new(pair)),
        })
    }

    /// Reads the files again and serves the new pair to connections accepted from now on. Blocking.
    ///
    /// # Errors
    /// [`Refused`]; the pair in use stays.
    pub(crate) fn reload(&self) -> Result<Leaf, Refused> {
        let pair = Arc::new(pair::load(&self.certs_dir)?);
        let leaf = pair.leaf.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(leaf)
    }

    /// The leaf in use.
    pub(crate) fn leaf(&self) -> Leaf {
        self.pair().leaf.clone()
    }

    /// An acceptor over the pair in use now, and whether a CA issued that pair's leaf.
    pub(crate) fn acceptor(&self) -> (TlsAcceptor, bool) {
        let pair = self.pair();
        let acceptor = TlsAcceptor::from(Arc::clone(&pair.config));
        (acceptor, pair.leaf.ca_issued)
    }

    fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

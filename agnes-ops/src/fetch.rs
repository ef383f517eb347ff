//! Bytes from a `SourceUrl`, in memory, with a reason of its own for every way to fail.
//!
//! Always true: a fetch ends within its deadline, retries included, and never holds more than `max_bytes` of a body; only
//! transient failures are tried again (twice, with jitter); redirects are not followed; no message has a value, userinfo
//! or a query in it; a bearer token never leaves this host over plain http.
//!
//! Does not: judge or write what was fetched (`tls` does), cache between runs, or read the environment. Proxies: the
//! https fetch connects directly, whatever `HTTPS_PROXY` says, so that a tick behaves the same under systemd and in a
//! shell; Google's own clients follow `HTTPS_PROXY` and `NO_PROXY` as their library does.

mod bucket;
mod file;
mod gcs;
mod google;
mod https;
mod objects;
mod registry;
mod retry;
mod secret_manager;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use agnes_config::{SourceUrl, SourceUrlError};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::image::{Digest, Reference};

pub(crate) use google::Environment;
pub(crate) use objects::{Moved, Objects};
pub(crate) use registry::Login;

/// Why a fetch failed. A caller acts on it, so a new way to fail joins the reason whose consequence it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The place exists, the thing is not there (yet).
    NotPublished,
    /// It is not given to us, or the server could not prove that it is who it should be.
    Forbidden,
    /// The same request may succeed later.
    Transient,
    /// What came, or what was asked for, is not what it must be; trying again will not help.
    Malformed,
    /// More than `max_bytes`.
    TooLarge,
    /// The server points elsewhere; the URL has to be corrected by a person.
    Redirect,
    /// Not one of the four schemes.
    UnsupportedScheme,
}

impl Reason {
    /// The word in `details.reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotPublished => "not-published",
            Self::Forbidden => "forbidden",
            Self::Transient => "transient",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Redirect => "redirect",
            Self::UnsupportedScheme => "unsupported-scheme",
        }
    }
}

/// A fetch that failed. `Display` is one line: `fetch <url>: <message>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What a caller branches on.
    pub(crate) reason: Reason,
    /// The location, redacted.
    pub(crate) url: String,
    /// What happened, with the HTTP status where there was one; one line, nothing secret.
    pub(crate) message: String,
    /// One safe next step.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fetch {}: {}", self.url, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<SourceUrlError> for Failure {
    /// A location that did not parse fails like one that could not be fetched.
    fn from(error: SourceUrlError) -> Self {
        let (reason, url, message) = match error {
            SourceUrlError::UnsupportedScheme { found } => {
                let message = "is not fetched; use https://, sm://, gs:// or file://";
                (Reason::UnsupportedScheme, found, message.to_owned())
            }
            SourceUrlError::Malformed { url, problem } => (Reason::Malformed, url, problem),
        };
        Self {
            reason,
            url,
            message,
            hint: None,
        }
    }
}

/// What a fetch brought.
pub(crate) enum Fetched {
    /// The whole body, at most `max_bytes`.
    Body {
        /// Wiped from memory when dropped.
        bytes: Zeroizing<Vec<u8>>,
        /// What to pass as `if_none_match` next time, for this URL only.
        etag: Option<String>,
    },
    /// `if_none_match` still names what is published.
    NotModified,
}

/// Limits, trust and places of a [`Fetcher`].
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Name resolution, TCP and TLS of one https attempt.
    pub(crate) connect_timeout: Duration,
    /// One whole fetch, retries included.
    pub(crate) timeout: Duration,
    /// Largest body, in bytes.
    pub(crate) max_bytes: u64,
    /// PEM roots trusted for https in place of the host's own (`TLS_CA_BUNDLE`).
    pub(crate) ca_bundle: Option<PathBuf>,
    /// `AGNES_SM_ENDPOINT`, e.g. `https://secretmanager.europe-west1.rep.googleapis.com`.
    pub(crate) sm_endpoint: Option<String>,
    /// `AGNES_GCS_ENDPOINT`.
    pub(crate) gcs_endpoint: Option<String>,
    /// `GOOGLE_CLOUD_PROJECT`: the project of `sm://secret`.
    pub(crate) google_project: Option<String>,
    /// Where Google credentials are looked for.
    pub(crate) environment: Environment,
}

/// Fetches; every client is made on first use and kept.
pub(crate) struct Fetcher {
    options: Options,
    runtime: OnceLock<Runtime>,
    https: OnceCell<reqwest::Client>,
    secret_manager: OnceCell<secret_manager::Client>,
    gcs: OnceCell<gcs::Client>,
    registries: registry::Clients,
}

/// Sets one of this machine's guest attributes, `namespace/key`; `false`: this is no Google machine. It needs no settings.
///
/// # Errors
/// [`Failure`], within a few seconds.
pub(crate) fn guest_attribute(
    environment: &Environment,
    name: &str,
    value: &str,
) -> Result<bool, Failure> {
    let told = event_loop().and_then(|runtime| {
        let told = runtime.block_on(google::guest_attribute(environment, name, value));
        // a name lookup that hangs cannot be cancelled
        runtime.shutdown_background();
        told
    });
    told.map_err(|refusal| Failure {
        reason: refusal.reason,
        url: format!("guest-attributes/{name}"),
        message: refusal.what,
        hint: refusal.hint,
    })
}

impl Fetcher {
    /// Costs nothing: no file is read and no client made before a fetch needs it.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            runtime: OnceLock::new(),
            https: OnceCell::new(),
            secret_manager: OnceCell::new(),
            gcs: OnceCell::new(),
            registries: registry::Clients::default(),
        }
    }

    /// Fetches `url`. `if_none_match` is the `etag` of an earlier fetch of the same URL; schemes without one ignore it.
    ///
    /// # Errors
    /// [`Failure`], within `timeout`.
    pub(crate) fn fetch(
        &self,
        url: &SourceUrl,
        if_none_match: Option<&str>,
    ) -> Result<Fetched, Failure> {
        let fetched = match url {
            SourceUrl::File(path) => file::read(path, self.options.max_bytes),
            SourceUrl::Https(https) => self.wait(self.fetch_https(https, if_none_match)),
            SourceUrl::SecretManager {
                project,
                secret,
                version,
            } => self.wait(self.fetch_secret(project.as_deref(), secret, version)),
            SourceUrl::Gcs {
                bucket,
                object,
                generation,
            } => self.wait(self.fetch_object(bucket, object, *generation, if_none_match)),
        };
        fetched.map_err(|refusal| Failure {
            reason: refusal.reason,
            url: url.to_string(),
            message: refusal.what,
            hint: refusal.hint,
        })
    }

    /// Adds a version to the secret of an `sm://` URL; the name of the version. Not tried again: nobody knows whether an attempt
    /// that had no answer made one.
    ///
    /// # Errors
    /// [`Failure`], within `timeout`; `unsupported-scheme` for any other URL.
    pub(crate) fn publish(&self, url: &SourceUrl, value: &[u8]) -> Result<String, Failure> {
        let SourceUrl::SecretManager {
            project, secret, ..
        } = url
        else {
            return Err(Failure {
                reason: Reason::UnsupportedScheme,
                url: url.to_string(),
                message: "nothing is published there; use sm://".to_owned(),
                hint: None,
            });
        };
        let published = self.wait(async {
            let options = &self.options;
            let client = self
                .secret_manager
                .get_or_try_init(|| secret_manager::client(options))
                .await?;
            let adding = client.add(options, project.as_deref(), secret, value);
            match tokio::time::timeout_at(self.deadline(), adding).await {
                Ok(added) => added,
                Err(_) => Err(Refusal::new(Reason::Transient, "no answer in time")),
            }
        });
        published.map_err(|refusal| Failure {
            reason: refusal.reason,
            url: url.to_string(),
            message: refusal.what,
            hint: refusal.hint,
        })
    }

    /// The digest that an image's reference means at its registry now.
    ///
    /// # Errors
    /// [`Failure`], within `timeout`; 401 and 403 are `forbidden`.
    pub(crate) fn digest(
        &self,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Digest, Failure> {
        let found = self.wait(retry::until(self.deadline(), async || {
            registry::digest(&self.registries, &self.options, reference, login).await
        }));
        found.map_err(|refusal| Failure {
            reason: refusal.reason,
            url: reference.to_string(),
            message: refusal.what,
            hint: refusal.hint,
        })
    }

    async fn fetch_https(
        &self,
        url: &reqwest::Url,
        if_none_match: Option<&str>,
    ) -> Result<Fetched, Refusal> {
        let deadline = self.deadline();
        let client = self
            .https
            .get_or_try_init(async || https::client(&self.options))
            .await?;
        let max_bytes = self.options.max_bytes;
        retry::until(deadline, async || {
            https::get(client, url, if_none_match, max_bytes).await
        })
        .await
    }

    async fn fetch_secret(
        &self,
        project: Option<&str>,
        secret: &str,
        version: &str,
    ) -> Result<Fetched, Refusal> {
        retry::until(self.deadline(), async || {
            let options = &self.options;
            let client = self
                .secret_manager
                .get_or_try_init(|| secret_manager::client(options))
                .await?;
            client.access(options, project, secret, version).await
        })
        .await
    }

    async fn fetch_object(
        &self,
        bucket: &str,
        object: &str,
        generation: Option<i64>,
        if_none_match: Option<&str>,
    ) -> Result<Fetched, Refusal> {
        retry::until(self.deadline(), async || {
            let client = self
                .gcs
                .get_or_try_init(|| gcs::client(&self.options))
                .await?;
            gcs::read(
                client,
                bucket,
                object,
                generation,
                if_none_match,
                self.options.max_bytes,
            )
            .await
        })
        .await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        if self.runtime.get().is_none() {
            let _ = self.runtime.set(event_loop()?);
        }
        let runtime = self
            .runtime
            .get()
            .ok_or_else(|| Refusal::new(Reason::Transient, "no event loop"))?;
        runtime.block_on(work)
    }
}

fn event_loop() -> Result<Runtime, Refusal> {
    let made = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    made.map_err(|e| {
        Refusal::new(
            Reason::Transient,
            format!("no event loop on this host: {e}"),
        )
    })
}

impl Drop for Fetcher {
    /// A name lookup that hangs in the C library cannot be cancelled; the default drop would wait for it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A failed attempt, before it is known under which URL it is reported.
#[derive(Debug)]
struct Refusal {
    reason: Reason,
    what: String,
    hint: Option<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            hint: None,
            retry_after: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The meaning of an HTTP status that is not success.
    fn status(status: u16) -> Self {
        let (reason, what) = match status {
            404 | 410 => (Reason::NotPublished, "not found"),
            401 | 403 | 407 => (Reason::Forbidden, "permission denied"),
            408 | 425 | 429 | 500..=599 => (Reason::Transient, "the server cannot answer now"),
            300..=399 => (
                Reason::Redirect,
                "the server redirects, which is not followed",
            ),
            _ => (Reason::Malformed, "unexpected answer"),
        };
        Self::new(reason, format!("{what} (HTTP {status})"))
    }
}

/// A body that is read piece by piece, never above its cap; outgrown buffers are wiped.
struct Body {
    bytes: Zeroizing<Vec<u8>>,
    max_bytes: usize,
}

impl Body {
    /// # Errors
    /// `too-large` at once when the announced length is.
    fn new(announced: Option<u64>, max_bytes: u64) -> Result<Self, Refusal> {
        if announced.is_some_and(|length| length > max_bytes) {
            return Err(Self::too_large(max_bytes));
        }
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let first = announced
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(16 * 1024)
            .min(max_bytes);
        Ok(Self {
            bytes: Zeroizing::new(Vec::with_capacity(first)),
            max_bytes,
        })
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let wanted = self.bytes.len().saturating_add(piece.len());
        if wanted > self.max_bytes {
            return Err(Self::too_large(self.max_bytes as u64));
        }
        if wanted > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(
                wanted.saturating_mul(2).min(self.max_bytes),
            ));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn too_large(max_bytes: u64) -> Refusal {
        Refusal::new(Reason::TooLarge, format!("larger than {max_bytes} bytes"))
    }
}

/// Finds a cause of type `T` anywhere below `error`, also inside an `io::Error`, whose `source()` skips its own content.
fn cause<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    causes(error).find_map(|e| e.downcast_ref())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| {
        match e
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => e.source(),
        }
    })
}

/// Words of the innermost cause, which is the one that knows what happened and the one that never holds a URL.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let words = causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    words
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;

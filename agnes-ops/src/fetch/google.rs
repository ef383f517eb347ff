//! What both Google schemes need: endpoint, credentials, project, and the meaning of their errors.
//!
//! Always true: the metadata server is asked only on a Google machine; a token is sent over https, or to loopback;
//! without an endpoint of the operator's there is no anonymous access.
//!
//! Does not: read the environment (values are passed in), or repeat what a service says in its own words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::Secret;
use google_cloud_auth::credentials::{
    CacheableResource, Credentials, anonymous, external_account, impersonated, mds,
    service_account, user_account,
};
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::error::{CredentialsError, Error};
use google_cloud_storage::error::ReadError;
use hyper::http::Extensions;
use url::{Host, Url};

use super::{Options, Reason, Refusal, cause, file, https, innermost};

/// Where Google credentials are looked for: the process environment's values, read by the caller.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) google_application_credentials: Option<PathBuf>,
    /// `GCE_METADATA_HOST`, as `host[:port]`.
    pub(crate) gce_metadata_host: Option<String>,
    /// `HOME`, for `gcloud`'s well-known file.
    pub(crate) home: Option<PathBuf>,
    /// The firmware's product name; Google's machines say so there.
    pub(crate) product_name_file: PathBuf,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            google_application_credentials: None,
            gce_metadata_host: None,
            home: None,
            product_name_file: PathBuf::from("/sys/class/dmi/id/product_name"),
        }
    }
}

impl Environment {
    /// `None`: not a Google machine.
    fn metadata_url(&self) -> Option<String> {
        if let Some(host) = self.gce_metadata_host.as_deref().filter(|h| !h.is_empty()) {
            return Some(format!("http://{host}"));
        }
        let product = std::fs::read_to_string(&self.product_name_file).ok()?;
        product
            .starts_with("Google")
            .then(|| "http://metadata.google.internal".to_owned())
    }

    /// The file of the application default credentials, when there is one.
    fn credentials_file(&self) -> Option<PathBuf> {
        if let Some(named) = self
            .google_application_credentials
            .as_ref()
            .filter(|p| !p.as_os_str().is_empty())
        {
            return Some(named.clone());
        }
        let known = self
            .home
            .as_ref()?
            .join(".config/gcloud/application_default_credentials.json");
        known.try_exists().unwrap_or(true).then_some(known)
    }
}

/// An endpoint that the operator set in place of Google's own.
pub(super) struct Endpoint(Url);

impl Endpoint {
    /// # Errors
    /// `malformed`, naming `key`, unless it is an http or https URL without userinfo, query or fragment.
    pub(super) fn parse(key: &str, text: Option<&str>) -> Result<Option<Self>, Refusal> {
        let Some(text) = text.filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        let sound = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        match Url::parse(text).ok().filter(sound) {
            Some(url) => Ok(Some(Self(url))),
            None => Err(Refusal::new(
                Reason::Malformed,
                format!("{key} is not an http(s) URL of a host alone"),
            )),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn keeps_a_token_private(&self) -> bool {
        self.0.scheme() == "https"
            || match self.0.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            }
    }
}

/// Application default credentials where there are some; none at all only towards an operator's `endpoint`.
///
/// # Errors
/// `forbidden`, at once: no credentials, unusable ones, or an endpoint that would disclose a token.
pub(super) fn credentials(
    environment: &Environment,
    endpoint: Option<&Endpoint>,
) -> Result<Credentials, Refusal> {
    let file = environment.credentials_file();
    let metadata = environment.metadata_url();
    if file.is_none() && metadata.is_none() {
        return match endpoint {
            Some(_) => Ok(anonymous::Builder::new().build()),
            None => Err(Refusal::new(Reason::Forbidden, "no Google credentials on this host").hint(
                "run on a Google machine with a service account, or set GOOGLE_APPLICATION_CREDENTIALS to a key file",
            )),
        };
    }
    if endpoint.is_some_and(|e| !e.keeps_a_token_private()) {
        return Err(Refusal::new(
            Reason::Forbidden,
            "the endpoint is plain http, over which no token is sent",
        )
        .hint("use an https endpoint, or one on this host"));
    }
    match (file, metadata) {
        (Some(file), _) => credentials_from(&file),
        (None, metadata) => metadata
            .into_iter()
            .fold(mds::Builder::default(), mds::Builder::with_endpoint)
            .build()
            .map_err(|_| {
                Refusal::new(
                    Reason::Forbidden,
                    "no credentials of the machine's service account",
                )
            }),
    }
}

/// Largest credentials file, in bytes; real ones have a few KiB.
const LARGEST_CREDENTIALS: u64 = 64 << 10;

fn credentials_from(path: &Path) -> Result<Credentials, Refusal> {
    let refusal = |what: &str| {
        Refusal::new(
            Reason::Forbidden,
            format!("the Google credentials in {} {what}", path.display()),
        )
        .hint("GOOGLE_APPLICATION_CREDENTIALS names a credentials file in Google's JSON format")
    };
    let text = file::bytes(path, LARGEST_CREDENTIALS)
        .map_err(|e| refusal(&format!("cannot be read: {}", e.what)))?;
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|_| refusal("are not JSON"))?;
    let kind = json
        .get("type")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let built = match kind.as_str() {
        "authorized_user" => user_account::Builder::new(json).build(),
        "service_account" => service_account::Builder::new(json).build(),
        "impersonated_service_account" => impersonated::Builder::new(json).build(),
        "external_account" => external_account::Builder::new(json).build(),
        _ => return Err(refusal("are of a type that is not supported")),
    };
    built.map_err(|_| refusal("are incomplete"))
}

/// An access token of the credentials of this host, as a password for Google's own registries.
///
/// # Errors
/// As [`credentials`], or when no token is given.
pub(super) async fn access_token(environment: &Environment) -> Result<Secret, Refusal> {
    token(&credentials(environment, None)?).await
}

/// A bearer token for an endpoint; `None`: there are no credentials, and the endpoint is the operator's own.
///
/// # Errors
/// As [`credentials`], or when no token is given.
pub(super) async fn bearer(
    environment: &Environment,
    endpoint: Option<&Endpoint>,
) -> Result<Option<Secret>, Refusal> {
    let anonymous =
        environment.credentials_file().is_none() && environment.metadata_url().is_none();
    let credentials = credentials(environment, endpoint)?;
    match anonymous {
        true => Ok(None),
        false => token(&credentials).await.map(Some),
    }
}

async fn token(credentials: &Credentials) -> Result<Secret, Refusal> {
    let refused = || {
        Refusal::new(
            Reason::Forbidden,
            "no access token for the machine's service account",
        )
    };
    let headers = credentials.headers(Extensions::new()).await;
    let CacheableResource::New { data, .. } = headers.map_err(|_| refused())? else {
        return Err(refused());
    };
    let value = data
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer "));
    token.map(Secret::new).ok_or_else(refused)
}

/// Time for the metadata server, which is a process of the hypervisor under us.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

/// The project of a URL that names none.
///
/// # Errors
/// `malformed` when nothing names one; `transient` or `malformed` from the metadata server.
pub(super) async fn project(options: &Options) -> Result<String, Refusal> {
    if let Some(project) = options.google_project.as_deref().filter(|p| !p.is_empty()) {
        return Ok(project.to_owned());
    }
    let Some(metadata) = options.environment.metadata_url() else {
        return Err(Refusal::new(
            Reason::Malformed,
            "names no project, and nothing on this host does",
        )
        .hint("write sm://<project>/<secret>, or set GOOGLE_CLOUD_PROJECT"));
    };
    let unreachable = |e: reqwest::Error| {
        let what = format!(
            "the metadata server does not tell the project: {}",
            innermost(&e.without_url())
        );
        Refusal::new(Reason::Transient, what)
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    let client = client
        .timeout(METADATA_TIMEOUT)
        .build()
        .map_err(unreachable)?;
    let request = client.get(format!("{metadata}/computeMetadata/v1/project/project-id"));
    let response = request
        .header("Metadata-Flavor", "Google")
        .send()
        .await
        .map_err(unreachable)?;
    let genuine = response
        .headers()
        .get("Metadata-Flavor")
        .is_some_and(|v| v == "Google");
    let status = response.status().as_u16();
    if status != 200 || !genuine {
        let reason = if status >= 500 {
            Reason::Transient
        } else {
            Reason::Malformed
        };
        return Err(Refusal::new(
            reason,
            format!("the metadata server does not tell the project (HTTP {status})"),
        ));
    }
    let project = response
        .text()
        .await
        .map_err(unreachable)?
        .trim()
        .to_owned();
    let sound = (1..=100).contains(&project.len())
        && project
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
    sound.then_some(project).ok_or_else(|| {
        Refusal::new(
            Reason::Malformed,
            "the metadata server's project is not a project id (HTTP 200)",
        )
    })
}

/// Sets a guest attribute; `false`: this is no Google machine.
///
/// # Errors
/// `transient` when the metadata server does not answer; `forbidden` when guest attributes are not enabled.
pub(super) async fn guest_attribute(
    environment: &Environment,
    name: &str,
    value: &str,
) -> Result<bool, Refusal> {
    let Some(metadata) = environment.metadata_url() else {
        return Ok(false);
    };
    let failed = |e: reqwest::Error| {
        let what = format!("the metadata server: {}", innermost(&e.without_url()));
        Refusal::new(Reason::Transient, what)
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(METADATA_TIMEOUT)
        .build()
        .map_err(failed)?;
    let url = format!("{metadata}/computeMetadata/v1/instance/guest-attributes/{name}");
    let request = client.put(url).header("Metadata-Flavor", "Google");
    let response = request
        .body(value.to_owned())
        .send()
        .await
        .map_err(failed)?;
    match response.status().as_u16() {
        200..=299 => Ok(true),
        status => Err(Refusal::status(status)
            .hint("set enable-guest-attributes = TRUE in the instance's metadata")),
    }
}

/// The meaning of a Google client's error. The service's own words are not repeated: they may hold names and values.
pub(super) fn refused(error: &Error, grant: &str) -> Refusal {
    let code = error.status().map(|status| status.code);
    let status = error.http_status_code();
    if code == Some(Code::FailedPrecondition) {
        let http = status.map(|s| format!(" (HTTP {s})")).unwrap_or_default();
        return Refusal::new(
            Reason::NotPublished,
            format!("this version is disabled or destroyed{http}"),
        )
        .hint("enable the version, or add a new one");
    }
    if let Some(status) = status {
        let refusal = Refusal::status(status);
        return if refusal.reason == Reason::Forbidden {
            refusal.hint(grant)
        } else {
            refusal
        };
    }
    if let Some(credentials) = cause::<CredentialsError>(error) {
        let reason = if credentials.is_transient() {
            Reason::Transient
        } else {
            Reason::Forbidden
        };
        let refusal = Refusal::new(
            reason,
            "no access token for the Google credentials of this host",
        );
        return refusal.hint(
            "check that the VM has a service account, or that the credentials file is still valid",
        );
    }
    if let Some(refusal) = https::connection(error) {
        return refusal;
    }
    match cause::<ReadError>(error) {
        Some(ReadError::ChecksumMismatch(_)) => {
            return Refusal::new(
                Reason::Malformed,
                "damaged on its way: the CRC32C checksum does not match",
            );
        }
        Some(ReadError::ShortRead(_)) => {
            return Refusal::new(Reason::Transient, "the body ended early");
        }
        Some(_) => {
            return Refusal::new(Reason::Malformed, "the answer is not one of Cloud Storage");
        }
        None => {}
    }
    if error.is_deserialization() || error.is_serialization() {
        // The parser's words can quote the payload.
        return Refusal::new(Reason::Malformed, "the answer cannot be decoded");
    }
    if error.is_timeout() || error.is_exhausted() {
        return Refusal::new(Reason::Transient, "timed out");
    }
    Refusal::new(
        Reason::Transient,
        format!("no answer: {}", innermost(error)),
    )
}

/// A client that cannot even be made.
pub(super) fn unbuilt(error: &google_cloud_gax::client_builder::Error) -> Refusal {
    Refusal::new(
        Reason::Malformed,
        format!("the Google client cannot be set up: {}", innermost(error)),
    )
}

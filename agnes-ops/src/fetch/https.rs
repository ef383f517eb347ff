//! `https://`: one conditional GET.
//!
//! Always true: 200 with a whole body of the announced length, or a refusal; no redirect, proxy, cookie or compression.
//!
//! Does not: retry (its caller does).

use std::path::Path;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use rustls::{AlertDescription, CertificateError};
use zeroize::Zeroizing;

use super::{Body, Fetched, Options, Reason, Refusal, cause, file, innermost};

const USER_AGENT: &str = concat!("agnes-ops/", env!("CARGO_PKG_VERSION"));

/// Longest entity tag that is kept for the next fetch, in bytes.
const LONGEST_ETAG: usize = 512;

/// # Errors
/// `malformed` when `TLS_CA_BUNDLE` cannot be read or used.
pub(super) fn client(options: &Options) -> Result<Client, Refusal> {
    built(options, Client::builder().https_only(true))
}

/// For servers of this host that speak plain http.
///
/// # Errors
/// As [`client`].
pub(super) fn plain_client(options: &Options) -> Result<Client, Refusal> {
    // no TLS is spoken here, and reading the host's roots costs more than the call
    built(options, Client::builder().tls_certs_only([]))
}

fn built(options: &Options, builder: ClientBuilder) -> Result<Client, Refusal> {
    let builder = builder
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout);
    let (builder, roots) = match &options.ca_bundle {
        None => (builder, "the host's root certificates".to_owned()),
        Some(path) => (
            trust_only(builder, path)?,
            format!("TLS_CA_BUNDLE {}", path.display()),
        ),
    };
    builder.build().map_err(|e| {
        Refusal::new(
            Reason::Malformed,
            format!("{roots} cannot be used: {}", innermost(&e)),
        )
    })
}

/// Largest bundle of roots, in bytes; the largest that distributions ship have a quarter of a MiB.
const LARGEST_BUNDLE: u64 = 4 << 20;

fn trust_only(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder, Refusal> {
    let refusal = |what: &str| {
        Refusal::new(Reason::Malformed, format!("TLS_CA_BUNDLE {}: {what}", path.display()))
            .hint("TLS_CA_BUNDLE names a PEM file of root certificates; without it the host's own are trusted")
    };
    let pem = file::bytes(path, LARGEST_BUNDLE).map_err(|e| refusal(&e.what))?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| refusal("is not PEM"))?;
    if roots.is_empty() {
        return Err(refusal("has no certificate in it"));
    }
    Ok(builder.tls_certs_only(roots))
}

/// One attempt.
///
/// # Errors
/// Every reason but `unsupported-scheme`.
pub(super) async fn get(
    client: &Client,
    url: &Url,
    if_none_match: Option<&str>,
    max_bytes: u64,
) -> Result<Fetched, Refusal> {
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
    let condition = if_none_match.and_then(|etag| HeaderValue::from_str(etag).ok());
    let conditional = condition.is_some();
    if let Some(condition) = condition {
        request = request.header(IF_NONE_MATCH, condition);
    }
    let response = request.send().await.map_err(refused)?;
    match response.status() {
        StatusCode::OK => read(response, max_bytes).await,
        StatusCode::NOT_MODIFIED if conditional => Ok(Fetched::NotModified),
        StatusCode::NOT_MODIFIED => Err(Refusal::new(
            Reason::Malformed,
            "not modified, though nothing was asked about (HTTP 304)",
        )),
        status => Err(Refusal {
            retry_after: retry_after(response.headers()),
            ..Refusal::status(status.as_u16())
        }),
    }
}

async fn read(response: Response, max_bytes: u64) -> Result<Fetched, Refusal> {
    let headers = response.headers();
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Refusal::new(
            Reason::Malformed,
            "compressed, though no compression was asked for (HTTP 200)",
        ));
    }
    let etag = headers.get(ETAG).and_then(|v| v.to_str().ok());
    let etag = etag
        .filter(|e| (1..=LONGEST_ETAG).contains(&e.len()))
        .map(str::to_owned);
    Ok(Fetched::Body {
        bytes: body(response, max_bytes).await?,
        etag,
    })
}

/// A whole body.
///
/// # Errors
/// `too-large`, or when the connection breaks.
pub(super) async fn body(
    mut response: Response,
    max_bytes: u64,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut body = Body::new(response.content_length(), max_bytes)?;
    while let Some(piece) = response.chunk().await.map_err(refused)? {
        body.push(&piece)?;
    }
    Ok(body.bytes)
}

/// `Retry-After` in seconds; its date form is left to the ordinary pause.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(secs))
}

pub(super) fn refused(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    connection(&error).unwrap_or_else(|| {
        let what = match (error.is_connect(), error.is_timeout()) {
            (true, true) => "no connection within the connect timeout".to_owned(),
            (false, true) => "timed out".to_owned(),
            (true, false) => format!("cannot connect: {}", innermost(&error)),
            (false, false) => format!("the connection broke: {}", innermost(&error)),
        };
        Refusal::new(Reason::Transient, what)
    })
}

/// Failures of a connection that will be the same next time; `None`: it may well be another next time.
pub(super) fn connection(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    if let Some(tls) = cause::<rustls::Error>(error) {
        return tls_refused(tls);
    }
    let http = cause::<hyper::Error>(error)?;
    http.is_parse()
        .then(|| Refusal::new(Reason::Malformed, format!("the answer is not HTTP: {http}")))
}

fn tls_refused(error: &rustls::Error) -> Option<Refusal> {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(problem) => Some(certificate_refused(problem)),
        Error::NoCertificatesPresented => Some(Refusal::new(
            Reason::Forbidden,
            "the server presents no certificate",
        )),
        Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA,
        ) => Some(
            Refusal::new(
                Reason::Forbidden,
                "the server asks for a client certificate, and none is sent",
            )
            .hint("publish where no client certificate is needed"),
        ),
        Error::AlertReceived(
            AlertDescription::InternalError
            | AlertDescription::CloseNotify
            | AlertDescription::UserCanceled,
        ) => None,
        // An answer that is not TLS, or a peer with which no protocol or cipher is shared.
        other => Some(Refusal::new(
            Reason::Malformed,
            format!("no TLS with the server: {}", innermost(other)),
        )),
    }
}

/// A server that cannot prove who it is gets no request and is not asked again.
fn certificate_refused(problem: &CertificateError) -> Refusal {
    let (what, hint) = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "has expired",
            "renew it there; TLS_CA_BUNDLE sets which roots are trusted, never for how long",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "is not valid yet",
            "check this host's clock; TLS_CA_BUNDLE sets which roots are trusted, not when",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "is for another name",
            "check the host in the URL; TLS_CA_BUNDLE sets which roots are trusted, not names",
        ),
        _ => (
            "is not trusted",
            "set TLS_CA_BUNDLE to a PEM file with the root certificate of the CA that signed the server's",
        ),
    };
    Refusal::new(
        Reason::Forbidden,
        format!("the server's certificate {what}"),
    )
    .hint(hint)
}

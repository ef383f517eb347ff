//! A container registry: which digest a tag points to.
//!
//! Always true: one HEAD for a tag that may be read by anybody; a credential goes to the registry and to the place that it names
//! for tokens, over https or on this host alone; what is refused is never taken for unchanged.
//!
//! Does not: pull, read an image, or look credentials up (its caller does).

use std::sync::OnceLock;

use agnes_config::Secret;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, Url};
use serde::Deserialize;

use super::{Options, Reason, Refusal, google, https};
use crate::image::{Digest, Reference, Version};

/// All kinds of manifest, so that a registry names the one that the tag is, and converts none.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Whoever has it is the user whose access token is the password.
const GOOGLE_USER: &str = "oauth2accesstoken";
/// Largest answer of a place for tokens, in bytes.
const LARGEST_TOKEN: u64 = 256 << 10;

/// Who asks.
#[derive(Clone)]
pub(crate) struct Login {
    /// The user; empty: the password is an identity token.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: Secret,
}

/// The two clients: registries on this host speak plain http, as the engine's own rule is.
#[derive(Default)]
pub(super) struct Clients {
    secure: OnceLock<Client>,
    plain: OnceLock<Client>,
}

impl Clients {
    fn get(&self, options: &Options, url: &Url) -> Result<&Client, Refusal> {
        let (kept, made) = match url.scheme() {
            "https" => (&self.secure, https::client(options)),
            _ => (&self.plain, https::plain_client(options)),
        };
        if kept.get().is_none() {
            let _ = kept.set(made?);
        }
        kept.get()
            .ok_or_else(|| Refusal::new(Reason::Transient, "no client"))
    }
}

/// The digest that the reference means now.
///
/// # Errors
/// `not-published`, `forbidden`, `transient`, `redirect` or `malformed`.
pub(super) async fn digest(
    clients: &Clients,
    options: &Options,
    reference: &Reference,
    login: Option<&Login>,
) -> Result<Digest, Refusal> {
    let url = manifest(reference)?;
    let mut response = ask(clients, options, &url, None).await?;
    if response.status() == 401 {
        let login = match login {
            Some(login) => Some(login.clone()),
            None => of_google(options, reference.repository.registry()).await?,
        };
        let authorization = answer(clients, options, &response, &url, login.as_ref()).await?;
        response = ask(clients, options, &url, Some(&authorization)).await?;
    }
    let status = response.status().as_u16();
    if status != 200 {
        let refusal = Refusal::status(status);
        return Err(match refusal.reason {
            Reason::Forbidden => refusal.hint(format!(
                "docker login {} as the user that runs agnes-ops",
                reference.repository.registry()
            )),
            _ => refusal,
        });
    }
    let named = response.headers().get("Docker-Content-Digest");
    let named = named.and_then(|value| value.to_str().ok()?.parse().ok());
    named.ok_or_else(|| Refusal::new(Reason::Malformed, "the registry names no digest (HTTP 200)"))
}

fn manifest(reference: &Reference) -> Result<Url, Refusal> {
    let registry = match reference.repository.registry() {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let scheme = if is_here(registry) { "http" } else { "https" };
    let version = match &reference.version {
        Version::Tag(tag) => tag.as_str(),
        Version::Digest(digest) => digest.as_str(),
    };
    let path = reference.repository.path();
    let url = format!("{scheme}://{registry}/v2/{path}/manifests/{version}");
    Url::parse(&url).map_err(|_| Refusal::new(Reason::Malformed, "is no address of a registry"))
}

/// A registry on this host, which engines speak to without TLS.
fn is_here(registry: &str) -> bool {
    let host = registry
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(registry, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn ask(
    clients: &Clients,
    options: &Options,
    url: &Url,
    authorization: Option<&HeaderValue>,
) -> Result<Response, Refusal> {
    let mut request = clients
        .get(options, url)?
        .request(Method::HEAD, url.clone())
        .header(ACCEPT, MANIFESTS);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization.clone());
    }
    request.send().await.map_err(https::refused)
}

/// What a registry wants of whoever asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    basic: bool,
    realm: Option<String>,
    service: Option<String>,
    scope: Option<String>,
}

/// The header that answers the registry's challenge.
async fn answer(
    clients: &Clients,
    options: &Options,
    response: &Response,
    asked: &Url,
    login: Option<&Login>,
) -> Result<HeaderValue, Refusal> {
    let challenge = challenge(response.headers());
    let denied = || {
        Refusal::status(401).hint(format!(
            "docker login {} as the user that runs agnes-ops",
            asked.host_str().unwrap_or_default()
        ))
    };
    if let Some(realm) = &challenge.realm {
        let token = token(clients, options, realm, &challenge, asked, login).await?;
        return bearer(&token);
    }
    match login {
        Some(login) if challenge.basic => basic(login),
        _ => Err(denied()),
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    clients: &Clients,
    options: &Options,
    realm: &str,
    challenge: &Challenge,
    asked: &Url,
    login: Option<&Login>,
) -> Result<String, Refusal> {
    let wrong = || {
        Refusal::new(
            Reason::Malformed,
            "the registry's place for tokens is no URL",
        )
    };
    let mut url = Url::parse(realm).map_err(|_| wrong())?;
    let here = url.scheme() == "http" && is_here(url.host_str().unwrap_or_default());
    // a registry far away may not send what it is told through this host, or in the clear
    if url.scheme() != "https" && !(here && asked.scheme() == "http") {
        let what =
            "the registry's place for tokens is plain http, over which no credential is sent";
        return Err(Refusal::new(Reason::Forbidden, what));
    }
    {
        let mut query = url.query_pairs_mut();
        for (name, value) in [("service", &challenge.service), ("scope", &challenge.scope)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }
    let client = clients.get(options, &url)?;
    let mut request = client.get(url.clone());
    if let Some(login) = login {
        if login.user.is_empty() {
            return identity(client, url, challenge, login).await;
        }
        request = request.header("Authorization", basic(login)?);
    }
    read_token(request.send().await.map_err(https::refused)?).await
}

/// An identity token is exchanged by the OAuth 2.0 form of the same place.
async fn identity(
    client: &Client,
    mut url: Url,
    challenge: &Challenge,
    login: &Login,
) -> Result<String, Refusal> {
    url.set_query(None);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", login.password.expose())
        .append_pair("service", &text(&challenge.service))
        .append_pair("scope", &text(&challenge.scope))
        .append_pair("client_id", "agnes-ops")
        .finish();
    let request = client
        .post(url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    read_token(request.send().await.map_err(https::refused)?).await
}

async fn read_token(response: Response) -> Result<String, Refusal> {
    let status = response.status().as_u16();
    if status != 200 {
        let refusal = Refusal::status(status);
        return Err(Refusal {
            what: format!("no token of the registry: {}", refusal.what),
            ..refusal
        });
    }
    let bytes = https::body(response, LARGEST_TOKEN).await?;
    let token: Option<Token> = serde_json::from_slice(&bytes).ok();
    token
        .and_then(|token| token.token.or(token.access_token))
        .ok_or_else(|| Refusal::new(Reason::Malformed, "the registry's token is none (HTTP 200)"))
}

/// The service account of a Google machine, for Google's registries.
async fn of_google(options: &Options, registry: &str) -> Result<Option<Login>, Refusal> {
    let googles =
        registry == "gcr.io" || registry.ends_with(".gcr.io") || registry.ends_with(".pkg.dev");
    if !googles {
        return Ok(None);
    }
    let token = google::access_token(&options.environment).await?;
    Ok(Some(Login {
        user: GOOGLE_USER.to_owned(),
        password: token,
    }))
}

fn bearer(token: &str) -> Result<HeaderValue, Refusal> {
    secret_header(&format!("Bearer {token}"))
}

fn basic(login: &Login) -> Result<HeaderValue, Refusal> {
    use base64::Engine as _;
    let pair = format!("{}:{}", login.user, login.password.expose());
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    secret_header(&format!("Basic {pair}"))
}

fn secret_header(text: &str) -> Result<HeaderValue, Refusal> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Refusal::new(Reason::Malformed, "a credential that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `Bearer realm="…",service="…",scope="…"` or `Basic realm="…"`, in any of the headers.
fn challenge(headers: &HeaderMap) -> Challenge {
    let mut found = Challenge::default();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            found.basic = true;
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            continue;
        }
        for (name, value) in parameters(rest) {
            match name.as_str() {
                "realm" => found.realm = Some(value),
                "service" => found.service = Some(value),
                "scope" => found.scope = Some(value),
                _ => {}
            }
        }
    }
    found
}

/// `name="value"` or `name=value`, separated by commas; a comma inside quotes is part of the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        found.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests;

//! Signing in at an outside OpenID provider: authorization code with PKCE, state and nonce.
//!
//! Always true: who comes back is the browser that was sent (`flow`); an id_token counts when the issuer signed it for this
//! client and this flow; an address counts when the issuer says that it is verified. The issuer and what it names is asked
//! without following redirects, in bounded time and size. It was set on the host, by root: unlike URLs that administrators
//! set by the API it may be in a private network.
//!
//! Does not: know users, or begin sessions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agnes_config::{OidcGroups, Secret};
use arc_swap::ArcSwapOption;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreProviderMetadata, CoreTokenResponse,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use serde_json::Value;
use url::Url;

pub(crate) mod flow;
mod groups;
mod http;

use flow::Flow;
use http::Http;

/// Where the provider sends people back.
pub(crate) const CALLBACK: &str = "/auth/oidc/callback";

/// How long what the provider says of itself, its keys among it, is believed without asking again.
const FRESH: Duration = Duration::from_secs(3600);
/// A token that none of its keys signed makes us ask again, this seldom.
const AGAIN: Duration = Duration::from_secs(60);

/// A provider that did not answer is not asked again this long: whoever comes meanwhile hears it at once, and does not queue.
const AWAY: Duration = Duration::from_secs(5);
/// How far the provider's clock may be ahead of this host's, in seconds, and how old a token may be that was asked for just now.
const AHEAD_SECS: i64 = 60;
const OLD_SECS: i64 = 600;

/// Why somebody was not signed in.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It is theirs, or the provider's: what they showed or are does not do. For the log and the audit log.
    Refused(String),
    /// The provider cannot be asked, or says nothing that makes sense.
    Provider(String),
}

/// Somebody whom the provider knows.
#[derive(Debug)]
pub(crate) struct Somebody {
    /// As the id_token has it.
    pub(crate) issuer: String,
    /// The provider's own name for them.
    pub(crate) subject: String,
    /// Verified, it says.
    pub(crate) email: String,
    /// May be empty.
    pub(crate) name: String,
    /// `None`: it was not asked.
    pub(crate) groups: Option<Vec<String>>,
}

/// What the provider said of itself, and when.
#[derive(Debug, Clone)]
struct Known {
    at: Instant,
    metadata: Arc<CoreProviderMetadata>,
}

/// The provider.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: agnes_config::Oidc,
    /// Another one after a reload.
    secret: ArcSwapOption<Secret>,
    /// It did not answer the last time it was asked.
    failing: AtomicBool,
    redirect: String,
    http: Http,
    known: tokio::sync::Mutex<Option<Known>>,
    /// When it was last asked in vain, and why.
    away: Mutex<Option<(Instant, String)>>,
}

impl Provider {
    /// The one of these settings; nothing is asked yet.
    ///
    /// # Errors
    /// When there is no client for https here.
    pub(crate) fn new(settings: &agnes_config::Oidc, public_url: &str) -> Result<Self, String> {
        Ok(Self {
            secret: ArcSwapOption::from_pointee(settings.client_secret.clone()),
            failing: AtomicBool::new(false),
            settings: settings.clone(),
            redirect: format!("{public_url}{CALLBACK}"),
            http: Http::new()?,
            known: tokio::sync::Mutex::new(None),
            away: Mutex::default(),
        })
    }

    /// From here on this is the client's secret; `false`: it was that before.
    pub(crate) fn take_up(&self, oidc: Option<&agnes_config::Oidc>) -> bool {
        let Some(oidc) = oidc else { return false };
        let text = |secret: Option<&Secret>| secret.map(|secret| secret.expose().to_owned());
        let is_another = text(self.secret.load().as_deref()) != text(oidc.client_secret.as_ref());
        if is_another {
            self.secret.store(oidc.client_secret.clone().map(Arc::new));
        }
        is_another
    }

    /// Whether it answered the last time it was asked, if it was.
    pub(crate) fn works(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Notes how it went.
    fn noted<T>(&self, asked: Result<T, Failed>) -> Result<T, Failed> {
        let failed = matches!(asked, Err(Failed::Provider(_)));
        self.failing.store(failed, Ordering::Relaxed);
        asked
    }

    /// Where a browser is sent to sign in.
    ///
    /// # Errors
    /// [`Failed::Provider`].
    pub(crate) async fn address(&self, flow: &Flow) -> Result<Url, Failed> {
        self.noted(self.address_of(flow).await)
    }

    async fn address_of(&self, flow: &Flow) -> Result<Url, Failed> {
        let metadata = self.metadata(FRESH).await?;
        let client = self.client(&metadata)?;
        let (state, nonce) = (flow.state.clone(), flow.nonce.clone());
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .set_pkce_challenge(challenge);
        // `openid` is asked for by the library
        for scope in ["email", "profile"]
            .into_iter()
            .chain(self.scope_of_groups())
        {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        Ok(request.url().0)
    }

    fn scope_of_groups(&self) -> Option<&'static str> {
        match &self.settings.groups {
            Some(OidcGroups::GoogleCloudIdentity) => Some(groups::SCOPE),
            Some(OidcGroups::Claim(_)) | None => None,
        }
    }

    /// Who it is that came back with this code.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) async fn somebody(&self, code: &str, flow: &Flow) -> Result<Somebody, Failed> {
        self.noted(self.somebody_with(code, flow).await)
    }

    async fn somebody_with(&self, code: &str, flow: &Flow) -> Result<Somebody, Failed> {
        let metadata = self.metadata(FRESH).await?;
        let client = self.client(&metadata)?;
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|why| Failed::Provider(format!("its document: {why}")))?;
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let tokens = exchange
            .set_pkce_verifier(verifier)
            .request_async(&self.http)
            .await
            .map_err(|why| http::exchange_failed(&why))?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| Failed::Provider("the answer has no id_token".to_owned()))?;
        let mut verified = self.verified(&metadata, &tokens, id_token, flow);
        if let Err(Failed::Refused(_)) = &verified {
            // its keys may be others by now
            let metadata = self.metadata(AGAIN).await?;
            verified = self.verified(&metadata, &tokens, id_token, flow);
        }
        let mut somebody = verified?;
        somebody.groups = match &self.settings.groups {
            None => None,
            Some(OidcGroups::Claim(claim)) => Some(groups::of_claim(&payload(id_token)?, claim)?),
            Some(OidcGroups::GoogleCloudIdentity) => {
                let endpoint = self.settings.cloud_identity_endpoint.as_ref();
                let token = tokens.access_token().secret();
                Some(groups::of_google(&self.http, endpoint, token, &somebody.email).await?)
            }
        };
        Ok(somebody)
    }

    fn verified(
        &self,
        metadata: &CoreProviderMetadata,
        tokens: &CoreTokenResponse,
        id_token: &CoreIdToken,
        flow: &Flow,
    ) -> Result<Somebody, Failed> {
        let client = self.client(metadata)?;
        let verifier = client.id_token_verifier();
        let nonce = Nonce::new(flow.nonce.clone());
        let refused = |why: String| Failed::Refused(format!("the id_token: {why}"));
        let claims = id_token
            .claims(&verifier, &nonce)
            .map_err(|why| refused(why.to_string()))?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = id_token
                .signing_alg()
                .map_err(|why| refused(why.to_string()))?;
            let key = id_token
                .signing_key(&verifier)
                .map_err(|why| refused(why.to_string()))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
                .map_err(|why| refused(why.to_string()))?;
            if actual != *expected {
                return Err(refused("is of another access token".to_owned()));
            }
        }
        // OpenID Connect Core section 3.1.3.7, 5 and 10
        let party = claims.authorized_party();
        if party.is_some_and(|party| party.as_str() != self.settings.client_id) {
            return Err(refused("was given to another client".to_owned()));
        }
        let age = agnes_store::clock::now().unix_timestamp() - claims.issue_time().timestamp();
        if !(-AHEAD_SECS..=OLD_SECS).contains(&age) {
            return Err(refused("was issued at another time than now".to_owned()));
        }
        let email = claims.email().map(|email| email.as_str().to_owned());
        let email = email.ok_or_else(|| refused("has no email".to_owned()))?;
        if claims.email_verified() != Some(true) {
            return Err(refused("does not say email_verified".to_owned()));
        }
        let name = claims.name().and_then(|names| names.get(None));
        Ok(Somebody {
            issuer: claims.issuer().as_str().to_owned(),
            subject: claims.subject().as_str().to_owned(),
            email,
            name: name
                .map(|name| name.as_str().to_owned())
                .unwrap_or_default(),
            groups: None,
        })
    }

    /// What the provider says of itself, not older than this.
    async fn metadata(&self, age: Duration) -> Result<Arc<CoreProviderMetadata>, Failed> {
        // one asks, the others wait for what it is told
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < age) {
            return Ok(Arc::clone(&known.metadata));
        }
        // asked in vain while this one waited
        let away = self
            .away
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, why)) = away.filter(|(at, _)| at.elapsed() < AWAY) {
            return Err(Failed::Provider(why));
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone());
        let issuer = issuer.map_err(|why| Failed::Provider(format!("OIDC_ISSUER: {why}")))?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.http).await;
        match found {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Some(Known {
                    at: Instant::now(),
                    metadata: Arc::clone(&metadata),
                });
                Ok(metadata)
            }
            Err(why) => {
                let why = format!("{}: {}", self.settings.issuer, http::in_words(&why));
                let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
                *away = Some((Instant::now(), why.clone()));
                Err(Failed::Provider(why))
            }
        }
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Result<Client, Failed> {
        let id = ClientId::new(self.settings.client_id.clone());
        let secret = self.secret.load_full();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().to_owned()));
        let redirect = RedirectUrl::new(self.redirect.clone());
        let redirect = redirect.map_err(|why| Failed::Provider(format!("PUBLIC_URL: {why}")))?;
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, secret);
        Ok(client.set_redirect_uri(redirect))
    }
}

/// The library's client, as far as a provider's document makes one.
type Client = CoreClient<
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

/// The claims of a token that was verified, those too that are this provider's own.
fn payload(id_token: &CoreIdToken) -> Result<Value, Failed> {
    let wrong = || Failed::Provider("the id_token: its claims do not parse".to_owned());
    let text = id_token.to_string();
    let payload = text.split('.').nth(1).ok_or_else(wrong)?;
    let bytes = flow::base64url(payload).ok_or_else(wrong)?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

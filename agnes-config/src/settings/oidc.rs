//! `[oidc]`: signing in at an outside OpenID provider.
//!
//! Always true: both the issuer and the client are known.
//!
//! Does not: ask the provider.

use crate::secret::Secret;

/// `[oidc]`.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// `OIDC_ISSUER` as it was written: it is compared with what tokens say, byte for byte.
    pub issuer: String,
    /// `OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `OIDC_CLIENT_SECRET`; `None`: a public client.
    pub client_secret: Option<Secret>,
    /// `OIDC_GROUPS`; `None`: groups are not asked for.
    pub groups: Option<OidcGroups>,
    /// `AGNES_CLOUD_IDENTITY_ENDPOINT`: https, or http on loopback; `None`: Google's own.
    pub cloud_identity_endpoint: Option<url::Url>,
}

/// Where it is said which groups somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OidcGroups {
    /// A list of texts in the id_token.
    Claim(String),
    /// A transitive search at Google's Cloud Identity.
    GoogleCloudIdentity,
}

impl OidcGroups {
    /// What stands for the search.
    pub const GOOGLE: &str = "google-cloud-identity";
}
